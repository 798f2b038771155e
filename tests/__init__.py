"""Tests. Contract tests of plug-ins are in `tests.contracts`."""
