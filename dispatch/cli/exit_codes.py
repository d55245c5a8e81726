"""What the process returns to the shell, one number a kind of end."""

from __future__ import annotations

from dispatch.errors import BackendUnavailableError, UnknownBackendError, UnsupportedCallError

DONE, FAILED, USAGE, NO_BACKEND, INTERRUPTED = 0, 1, 2, 3, 130

_BAD_NAMES = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
"""What the system says of a file that the user should have named otherwise; a full disk is no fault in the usage."""


def exit_code(error: Exception) -> int:
    """Return the code for an error: nothing can run the call, the input is bad, or the computation failed."""
    if isinstance(error, (UnknownBackendError, BackendUnavailableError, UnsupportedCallError)):
        return NO_BACKEND
    return USAGE if isinstance(error, (ValueError, TypeError, *_BAD_NAMES)) else FAILED
