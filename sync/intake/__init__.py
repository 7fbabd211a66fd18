"""What a push notification sets going."""
