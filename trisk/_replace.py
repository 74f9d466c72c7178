"""Files that are whole at any moment."""

import os
import stat


def replace_file(path, *parts, sync=True):
    """Write a file beside the one to replace and rename it; it keeps the mode of that one."""
    path = path.resolve()
    # The tempfile module would make a file that nobody else may read.
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with temporary.open("xb") as file:
            if path.is_file():
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            file.writelines(parts)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
