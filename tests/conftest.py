"""What every test shares: hypothesis without deadlines, since a wall clock on a busy machine says nothing about the code."""

from hypothesis import settings

settings.register_profile("sharpen", deadline=None)
settings.load_profile("sharpen")
