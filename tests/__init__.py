"""Tests. `tests.contracts` holds all plug-ins to `weightspace.testing`."""
