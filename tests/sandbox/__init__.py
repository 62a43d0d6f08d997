"""The sandbox OneSignal, as a process over real HTTP. Needs neither Django nor a database."""
