"""Tables of the cost of operations on some hardware, built in or from a TOML file."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...core.documents import read_toml
from ...core.errors import DataError
from ...core.reading import MAX_TOML, read_regular, why_unreadable
from ...core.registry import unknown

TABLES = Path(__file__).parent / "energy_tables"
DEFAULT = "45nm-fp32"


class Section(BaseModel):
    """A section of a table; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Picojoules(Section):
    """Energy of one operation of each kind, in pJ."""

    mac: float = Field(ge=0, lt=1e12)
    ac: float = Field(ge=0, lt=1e12)
    neuron_update: float = Field(default=0.0, ge=0, lt=1e12)
    memory_byte: float = Field(default=0.0, ge=0, lt=1e12)
    draw: float = Field(default=0.0, ge=0, lt=1e12)


class Bytes(Section):
    """Bytes of a weight, of a value (membrane, sum, activation), and of the address of a spike."""

    weight: float = Field(default=4, gt=0, le=1024)
    value: float = Field(default=4, gt=0, le=1024)
    event: float = Field(default=4, gt=0, le=1024)


class CostTable(Section):
    """The cost of operations on some hardware.

        E = mac · MAC + ac · AC + neuron_update · updates + draw · draws + memory_byte · bytes

    Attributes:
        source: of the numbers.
        graded: whether the hardware sends k spikes of one neuron and step as one with a number,
            which is multiplied by each weight; otherwise they are k accumulates.
    """

    name: str
    description: str = ""
    source: str = Field(min_length=1)
    graded: bool = False
    picojoules: Picojoules
    bytes: Bytes = Bytes()


def cost_table_names() -> list[str]:
    """Return the names of the built-in tables, the default first."""
    return sorted((path.stem for path in TABLES.glob("*.toml")), key=lambda n: (n != DEFAULT, n))


def read_cost_table(name: str = DEFAULT) -> CostTable:
    """Return a table by name, or from a TOML file.

    Raises:
        ConfigError: no table and no file has that name.
        DataError: the file is not a valid table.
    """
    path = TABLES / f"{name}.toml" if name in cost_table_names() else Path(name)
    if not path.is_file():
        error = unknown("energy table", name, cost_table_names())
        if path.suffix == ".toml":
            error.what = f"there is no energy table {name}"
        raise error
    try:
        content = read_regular(path, max_size=MAX_TOML)
        return CostTable.model_validate(read_toml(content.decode()))
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:5]
        ]
        why = "; ".join(faults)
    except (OSError, ValueError) as error:
        why = why_unreadable(error)
    raise DataError(
        f"{path} is not an energy table",
        why=why,
        remedy=f"begin with a copy of {TABLES / DEFAULT}.toml",
    )
