"""Published methods as short recipes over shared parts: one file each, with its card."""
