"""`farshore cost`: the price of each replica a month, and of a restore from it."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import UnaskedWarnings, waiting_note
from farshore.cli.wording import compact_bytes
from farshore.errors import EXIT_DONE, FarshoreError, ObjectCorrupt
from farshore.plural import count_of, last_of

if TYPE_CHECKING:
    from farshore.ops.cost.cost import CostResult, ReplicaCost
    from farshore.ops.cost.estimate import Bill

_DIGITS = 6  # of an amount in a record: a thousandth of a cent, and no noise of binary fractions


_PRICES_OLD = timedelta(days=180)  # lists change a few times in a year


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--prices", metavar="FILE", help="a price table of your own, before the one that ships")
    parser.add_argument("--replica", metavar="NAME", help="read the audit tables of this replica")


def execute(invocation: Invocation) -> int:
    """Read the audit tables, and print an estimate per replica."""
    from farshore.ops.cost.cost import repository_cost
    from farshore.plan.prices import load_prices

    arguments, output = invocation.arguments, invocation.output
    config = invocation.config()
    table = load_prices(Path(arguments.prices) if arguments.prices else config.cost.prices)
    unasked: dict[str, FarshoreError] = {}
    result = repository_cost(
        config,
        table,
        replica=arguments.replica,
        unasked=unasked,
        on_wait=waiting_note(output),
        clock=invocation.clock,
    )
    UnaskedWarnings(output).show(unasked)
    for one in result.replicas:
        output.raw(record_of_replica(result, one))
    months = [one.estimate.month.total for one in result.replicas]
    output.raw(
        {
            "type": "cost-total",
            "currency": result.currency,
            "month": round(sum(months), _DIGITS),
            "year_ahead": round(sum(one.estimate.year_ahead for one in result.replicas), _DIGITS),
            "prices_as_of": str(result.as_of),
            "read_from": result.read_from,
            "window_days": round(result.window_days, 1),
        }
    )
    _print(invocation, result)
    return EXIT_DONE


def record_of_replica(result: CostResult, one: ReplicaCost) -> dict[str, object]:
    """Return the record of one replica: its price, its usage a month, and each bill by part."""
    price, usage, guess = one.quote.price, one.usage, one.estimate
    return {
        "type": "cost",
        "replica": one.replica,
        "provider": one.provider,
        "region": one.region,
        "currency": result.currency,
        "price": {
            "class": price.storage_class,
            "gb_month": price.gb_month,
            "put_1000": price.put_1000,
            "list_1000": price.list_1000,
            "get_1000": price.get_1000,
            "egress_gb": price.egress_gb,
            "retrieval_gb": price.retrieval_gb,
            "days_min": price.days_min,
            "gb_bytes": price.gb_bytes,
            "source": one.quote.source,
            "notes": list(one.quote.notes),
        },
        "usage": {
            "objects": usage.objects,
            "bytes_stored": usage.bytes_stored,
            "bytes_grown_month": round(usage.bytes_grown),
            "puts_month": round(usage.puts, 1),
            "lists_month": round(usage.lists, 1),
            "gets_month": round(usage.gets, 1),
            "bytes_out_month": round(usage.bytes_out),
            "restore_bytes": usage.restore_bytes,
        },
        "month": _bill(guess.month),
        "growth": round(guess.growth, _DIGITS),
        "year_ahead": round(guess.year_ahead, _DIGITS),
        "restore": _bill(guess.restore),
        "verify": _bill(guess.verify),
    }


def _bill(bill: Bill) -> dict[str, float]:
    parts = {"storage": bill.storage, "requests": bill.requests, "egress": bill.egress, "retrieval": bill.retrieval}
    return {name: round(amount, _DIGITS) for name, amount in {**parts, "total": bill.total}.items()}


def money(amount: float) -> str:
    """Return an amount to the cent; what is less than a cent and not nothing as `<0.01`."""
    if 0 < amount < 0.005:
        return "<0.01"
    return f"{amount:,.2f}"


def _print(invocation: Invocation, result: CostResult) -> None:
    output = invocation.output
    figures = ("stored", "storage", "requests", "egress", "month", "more monthly", "in a year", "restore", "verify")
    output.table(
        ("replica", "place", "class", *figures),
        [
            (
                one.replica,
                ":".join(filter(None, (one.provider, one.region))),
                one.quote.price.storage_class,
                compact_bytes(one.usage.bytes_stored),
                money(one.estimate.month.storage),
                money(one.estimate.month.requests),
                money(one.estimate.month.egress + one.estimate.month.retrieval),
                money(one.estimate.month.total),
                money(one.estimate.growth),
                money(one.estimate.year_ahead),
                money(one.estimate.restore.total),
                money(one.estimate.verify.total),
            )
            for one in result.replicas
        ],
        right=frozenset(figures),
    )
    output.line()
    total = sum(one.estimate.month.total for one in result.replicas)
    ahead = sum(one.estimate.year_ahead for one in result.replicas)
    output.line(f"{money(total)} {result.currency} a month now, {money(ahead)} in a year at the present rate")
    output.line(
        f"  an estimate: list prices as of {result.as_of}, without discounts, free tiers and taxes; usage of "
        f"{last_of(max(round(result.window_days), 1), 'day')} from {result.read_from}"
    )
    output.line(
        "  a restore at most: packs are counted whole, and it reads the segments of them that it needs, each once"
    )
    if (old := invocation.clock.now_utc().date() - result.as_of) > _PRICES_OLD:
        output.warning(
            f"the price table is of {result.as_of}, {count_of(old.days // 30, 'month')} ago: compare with the lists of "
            "the providers, and give your own with --prices (docs/operate/cost.md)",
            code="prices-old",
        )
    for one in result.replicas:
        output.lines(f"  {one.replica}: {note}" for note in notes_of(one))


def notes_of(one: ReplicaCost) -> list[str]:
    """Return what a person should know of one replica's price."""
    notes = list(one.quote.notes)
    if one.quote.price.days_min:
        notes.append(f"an object deleted within {count_of(one.quote.price.days_min, 'day')} is billed for all of them")
    if one.quote.source:
        notes.append(f"prices: {one.quote.source}")
    return notes


COMMAND = Command(
    name="cost",
    summary="estimate what each replica costs",
    description=(
        "Estimate from the audit tables, the schedules and a table of list prices what each replica costs a month for "
        "storage, requests and egress, how that grows at the present rate, and what one restore of everything from it, "
        "or one verify of all its data, would cost. Needs no key. "
        "docs/operate/cost.md says what is counted and what is not."
    ),
    example="farshore cost\nfarshore cost --prices our-prices.toml --json",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, ObjectCorrupt),
)
