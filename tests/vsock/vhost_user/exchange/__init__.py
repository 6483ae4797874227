"""Tests of the exchange: what a device and one guest say to each other."""
