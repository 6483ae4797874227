"""``python -m trionitro.proxy``."""

from __future__ import annotations

from trionitro._cli import main_proxy

if __name__ == "__main__":
    main_proxy()
