def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are numbered, not shown: some are random, and workers must name a case alike."""
    return argname if isinstance(val, bytes) else None
