"""Names of tests."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case of bytes by its argument.

    The bytes of an archive hold the time, and all processes must collect the same names.
    """
    return argname if isinstance(val, bytes) else None
