"""What one changed event means, and carrying that out."""
