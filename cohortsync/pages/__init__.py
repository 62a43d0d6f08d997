"""Step 8, show: the pages for people. Each module holds the views of one noun and is thin: find through `access`, bind
a form, call one domain function, say what happened, go on. What programs see of the same is `cohortsync/api/`.
"""
