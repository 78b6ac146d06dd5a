"""What several pictures share."""
