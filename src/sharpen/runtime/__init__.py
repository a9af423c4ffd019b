"""What runs models: the only layer that knows hardware."""
