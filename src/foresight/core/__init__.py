"""Contracts and small tools that every room builds on."""
