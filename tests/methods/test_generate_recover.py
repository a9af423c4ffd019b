"""Generate and recover: what counts as rebuilt and as copied, which example is taken, and what is kept."""

from __future__ import annotations

import pytest

from example_builders import ROUND, completion
from sharpen.methods.generate_recover import generate_recover
from sharpen.sample.recovered import copied_share, fields_kept, recovered_completions, recovery
from sharpen.types import Prompt, user

RECORDS = ("name: Ann\nage: 5", "name: Bob\nage: 6", "name: Cid\nage: 7", "name: Dee\nage: 8")


def test_recovery_by_hand() -> None:
    record = "name: Ann\nage: 5\ntown: Rome"
    assert fields_kept(record, record) == 1.0
    assert fields_kept(record, "town: rome, NAME: Ann") == pytest.approx(2 / 3)  # kept fields of all
    assert fields_kept(record, "name Ann") == 0.0
    assert recovery(record, "name: Ann") == pytest.approx((2 * 2 / (6 + 2) + 1 / 3) / 2)
    assert recovery(record, record) == 1.0


def test_copied_runs_by_hand() -> None:
    assert copied_share("a b c d", "x b c y a") == 0.5
    assert copied_share("a b c d", "It says: A, b; c d.") == 1.0
    assert copied_share("a b c d", "d c b a") == 0.25
    assert copied_share("a b c d", "a x b y c z d") == 0.25, "a run is of neighbours"
    assert copied_share("a b c d", "a x c d") == 0.5, "a run ends where another word stands"
    assert copied_share("a b c d", "a c") == 0.25, "and where one is left out"
    assert copied_share("", "a") == 0.0


class Clerk:
    """A model whose description tells as much as the example before it did; a record is rebuilt from exactly what is told.

    Without an example it tells the name of Ann, name and age of Bob, copies Cid's record, and says nothing of Dee. Each further sample of
    a prompt tells the name alone, or the same as the first at more length.
    """

    def __init__(self) -> None:
        self.asked: list[Prompt] = []

    def generate(self, requests, sampling):  # type: ignore[no-untyped-def]
        self.asked += [request.prompt for request in requests]
        return [self.made(one, one.index if sampling.temperature > 0 else 0) for one in requests]

    def made(self, request, number: int):  # type: ignore[no-untyped-def]
        text = self.said(request.prompt)
        name = request.prompt.text[6:9]
        told = (text, f"One called {name}.", f"So: {text}", f"Well then: {text}")[number]
        return completion(told, prompt=request.prompt, index=request.index, num_tokens=len(told))

    def said(self, prompt: Prompt) -> str:
        if "written about a record" in prompt.text:
            told = prompt.text.split("\n\n")[1]
            fields = [f"name: {told.split('called ')[1][:3]}"] if "called" in told else []
            fields += [f"age: {told.split('of ')[1][0]}"] if "of " in told else []
            return told if told in RECORDS else "\n".join(fields)
        name, age = (line.split(": ")[1] for line in prompt.text.split("\n"))
        full, short = f"One called {name}, of {age} years.", f"One called {name}."
        if len(prompt.messages) == 1:
            return {"Ann": short, "Bob": full, "Cid": prompt.text, "Dee": ""}[name]
        shown = prompt.messages[1].text
        return prompt.text if shown in RECORDS else full if "years" in shown else short


def round_of(clerk: Clerk):  # type: ignore[no-untyped-def]
    class Round(type(ROUND)):  # type: ignore[misc]
        max_new_tokens = 20

        def policy(self, role: str) -> Clerk:
            return clerk

    return Round()


def test_the_example_that_records_are_rebuilt_from_best_is_taken() -> None:
    clerk = Clerk()
    prompts = [user(record) for record in RECORDS]
    groups = recovered_completions(1)(prompts, round_of(clerk))
    for group, record in zip(groups, RECORDS, strict=True):
        if record != RECORDS[1]:
            assert group.completions[0].text.endswith("years.")  # as Bob's description, the one example that tells all
            assert group.score("recovery") == (1.0,)
        assert group.signals["example_recovery"] == 1.0
    rebuilding = [prompt for prompt in clerk.asked if "written about a record" in prompt.text][-4:]
    for prompt, record in zip(rebuilding, RECORDS, strict=True):  # none of what rebuilds is shown the record
        assert not any(record in message.text for message in prompt.messages)
        assert [message.text for message in prompt.messages[1:2]] == ([RECORDS[1]] if record != RECORDS[1] else [])


def test_a_copy_scores_nothing_though_its_record_is_rebuilt() -> None:
    clerk = Clerk()
    prompts = [user(RECORDS[2]), user(RECORDS[3])]
    copied = recovered_completions(1)(prompts, round_of(clerk))
    assert [group.score("recovery") for group in copied] == [(0.0,), (0.0,)]
    assert copied[0].signals["example_recovery"] == 0.0
    allowed = recovered_completions(1, max_copied=1.0)(prompts, round_of(clerk))
    assert [group.score("recovery") for group in allowed] == [(1.0,), (1.0,)]


def test_each_sample_is_rebuilt_by_itself_and_the_example_s_own_without_it() -> None:
    clerk = Clerk()
    ann, bob = recovered_completions(2, max_copied=1.0)([user(record) for record in RECORDS[:2]], round_of(clerk))
    name_alone = (2 * 2 / (4 + 2) + 1 / 2) / 2  # two words of four, one field of two
    assert ann.score("recovery") == pytest.approx((1.0, name_alone))
    assert bob.score("recovery") == pytest.approx((1.0, name_alone))
    rebuilding = [prompt for prompt in clerk.asked if "written about a record" in prompt.text][-4:]
    assert [len(prompt.messages) for prompt in rebuilding] == [3, 3, 1, 1], "Bob's record stands in no call that rebuilds it"


def test_an_example_is_judged_by_the_others_records_alone() -> None:
    """After a short example all is told, and after a full one little: the short one is best, whose own record is rebuilt worst."""

    class Contrary(Clerk):
        def said(self, prompt: Prompt) -> str:
            text = super().said(prompt)
            if len(prompt.messages) == 1 or "written about a record" in prompt.text:
                return text
            name, age = prompt.text[6:9], prompt.text[-1]
            return f"One called {name}." if "years" in text else f"One called {name}, of {age} years."

    ann, bob = recovered_completions(1)([user(record) for record in RECORDS[:2]], round_of(Contrary()))
    assert ann.signals["example_recovery"] == 1.0
    assert bob.completions[0].text == "One called Bob, of 6 years."


def test_records_of_which_nothing_is_rebuilt_are_in_no_mean() -> None:
    class Shy(Clerk):
        def said(self, prompt: Prompt) -> str:
            return "" if "Cid" in prompt.text else super().said(prompt)

    groups = recovered_completions(1)([user(record) for record in RECORDS[:3]], round_of(Shy()))
    assert [group.signals["example_recovery"] for group in groups] == [1.0] * 3
    assert groups[2].score("recovery") == (None,)


def test_a_tag_holds_the_record_where_the_prompt_has_one() -> None:
    clerk = Clerk()
    longer = f"{RECORDS[1]}\ntown: Rome"
    prompts = [user(RECORDS[1], tags={"record": longer}), user(RECORDS[0])]
    bob, ann = recovered_completions(1)(prompts, round_of(clerk))
    assert bob.score("recovery") == pytest.approx(((2 * 4 / (6 + 4) + 2 / 3) / 2,))
    assert ann.score("recovery") == (1.0,)
    assert clerk.asked[-1].messages[1].text == longer, "the example turned round ends in its record"


def test_nothing_rebuilt_is_no_score_and_no_example() -> None:
    prompts = [user(RECORDS[3]), user(RECORDS[3] + "\n")]

    class Mute(Clerk):
        def said(self, prompt: Prompt) -> str:
            return ""

    groups = recovered_completions(2)(prompts, round_of(Mute()))
    assert [group.score("recovery") for group in groups] == [(None, None)] * 2
    assert groups[0].signals["example_recovery"] is None

    class Guesser(Clerk):
        def said(self, prompt: Prompt) -> str:
            return RECORDS[3] if "written about a record" in prompt.text else ""

    (first, _) = recovered_completions(1)(prompts, round_of(Guesser()))
    assert first.score("recovery") == (None,), "where nothing was said a guess tells nothing"
    with pytest.raises(ValueError, match="at least 2"):
        recovered_completions(1, num_support=1)


def test_what_is_kept_is_trained_without_the_example() -> None:
    (step,) = generate_recover(num_prompts=4, num_samples=1).steps
    assert step.sample is not None
    assert step.select is not None
    prompts = [user(record) for record in RECORDS]
    round = round_of(Clerk())
    found = step.select(step.sample(prompts, round), round)
    assert len(found) >= 3
    assert all(one.row.prompt in prompts for one in found)
    assert all("years" in one.row.completion.text for one in found)


def test_the_two_shortest_of_what_is_rebuilt_well_enough_are_kept() -> None:
    def kept(**how: float) -> list[str]:
        (step,) = generate_recover(num_prompts=4, num_samples=4, **how).steps  # type: ignore[arg-type]
        assert step.sample is not None
        assert step.select is not None
        prompts = [user(record) for record in RECORDS[:2]]
        found = step.select(step.sample(prompts, round_of(Clerk())), round_of(Clerk()))
        return [one.row.completion.text for one in found if one.row.prompt == prompts[0]]

    full = "One called Ann, of 5 years."
    assert kept(min_recovery=0.6) == [full, f"So: {full}"]
    assert kept(min_recovery=0.5) == [full, "One called Ann."], "half of the fields and two thirds of the words: 7/12"
    assert kept(min_recovery=0.5, max_copied=0.2) == [], "the name is a quarter of the record's words"
