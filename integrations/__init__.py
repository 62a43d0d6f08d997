"""The world: Mixpanel's wire inbound, destinations outbound, the sync spine between them."""
