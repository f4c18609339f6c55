"""Readers that turn a published dataset into records and arrays."""
