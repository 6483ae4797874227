"""Proxies: any endpoint to any endpoint, for both halves and all directions."""

from __future__ import annotations

from trionitro.proxy._route import Family as Family
from trionitro.proxy._route import ProxyConfig as ProxyConfig
from trionitro.proxy._route import Route as Route
