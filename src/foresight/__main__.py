"""``python -m foresight`` is the same as the ``foresight`` command."""

from __future__ import annotations

from foresight.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
