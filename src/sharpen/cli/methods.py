"""`sharpen methods`: every method's card, in a table or in full."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from sharpen.cards import Card
from sharpen.cli.output import say, say_json, table
from sharpen.methods import all_cards, find_method

__all__ = ["methods"]

_SHELVES = ("verdict", "faithful", "sketched")  # what is checked best comes first


def methods(name: str | None, *, search: str | None, as_json: bool) -> None:
    """Print the cards, one in full, or those that hold all the words.

    Raises:
        ValueError: there is no method of that name.
    """
    cards = all_cards()
    if name is not None:
        if name not in cards:
            find_method(name)  # says which is nearest
        cards = {name: cards[name]}
    words = (search or "").lower().split()
    found = {key: card for key, card in cards.items() if all(word in _text(key, card) for word in words)}
    if as_json:
        say_json({key: dataclasses.asdict(card) for key, card in found.items()})
    elif name is not None:
        _in_full(name, found[name])
    elif found:
        print(table(("method", "shelf", "trains on", "needs", "what it is"), _rows(found)))
        say("\n`sharpen methods METHOD` shows a card in full, `sharpen run METHOD --help` its parameters.")
    else:
        say(f"no method's card holds all of: {search}")


def _text(name: str, card: Card) -> str:
    return " ".join([name, *map(str, dataclasses.astuple(card))]).lower()


def _rows(cards: Mapping[str, Card]) -> Iterator[tuple[str, ...]]:
    for name, card in sorted(cards.items(), key=lambda pair: (_SHELVES.index(pair[1].shelf), pair[0])):
        yield name, card.shelf, card.trains_on or "nothing", ", ".join(card.needs) or "nothing", card.title


def _in_full(name: str, card: Card) -> None:
    source = f"{card.paper}; arXiv {card.arxiv}" if card.arxiv else card.paper
    say(f"{name}: {card.title} ({source})")
    say(card.claim)
    say(f"trains on: {card.trains_on or 'nothing'}; needs: {', '.join(card.needs) or 'nothing'}; shelf: {card.shelf}")
    if card.oracle:
        say(f"its formula is checked by {card.oracle}")
    for one in card.departs:
        say(f"departs: {one}")
