"""What a fallback may catch: the errors that a kind of call fails with while everything is as designed."""

from __future__ import annotations

from farshore.errors.access import Denied, NotFound, Unsupported
from farshore.errors.base import FarshoreError
from farshore.errors.corrupt import Corrupt
from farshore.errors.passing import Conflict, Unavailable
from farshore.errors.user import ConfigInvalid, RepositoryMissing, StoreFull, UserError

_Errors = tuple[type[FarshoreError], ...]

# Reading from replicas: another copy, an older snapshot or a full read serves as well.
READ_ERRORS: _Errors = (Unavailable, NotFound, Denied, Corrupt, Unsupported)

# Likewise through a file of this host, whose directory may be full or closed to us (see `host_places.unusable`).
CACHED_READ_ERRORS: _Errors = (*READ_ERRORS, StoreFull, ConfigInvalid)

# Asking the audit tables of one replica: those of another say the same.
TABLE_ERRORS: _Errors = (*CACHED_READ_ERRORS, RepositoryMissing)

# Opening a store that nothing depends on.
OPENING_ERRORS: _Errors = (*READ_ERRORS, UserError)

# Any verb of a store, also those that write.
STORE_ERRORS: _Errors = (*READ_ERRORS, Conflict, StoreFull)
