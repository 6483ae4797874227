"""``python -m trionitro``, and the console script ``trionitro``."""

from __future__ import annotations

from trionitro._cli import main

if __name__ == "__main__":
    main()
