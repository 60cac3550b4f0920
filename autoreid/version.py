"""The version of the code, and of the results that it computes."""

__version__ = "0.1.0"

# Raised by one whenever a change makes any job compute something else: it enters every job id, so that
# results of two revisions are never taken for one another.
ENGINE_REVISION = 1

# Raised when older releases can no longer read what a storage holds.
STORAGE_VERSION = 1
