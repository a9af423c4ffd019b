"""Checklists: what counts as a question, how rates are taken, and who is asked what."""

import pytest

from example_builders import ROUND, completion, group
from sharpen.feedback.checklist import checklist, pass_rate, questions_in, requirements_met
from sharpen.select import best


def test_pooled_and_mean_rates_differ():
    verdicts = [[True, False], [True, True, True, True]]
    assert requirements_met(verdicts) == pytest.approx(5 / 6)
    assert sum(pass_rate(one) for one in verdicts) / 2 == pytest.approx(3 / 4)


def test_questions_are_lines_that_ask():
    text = "Sure:\n1) Is it short?\n2. Does it rhyme?\n* Is it short?\nno question\n"
    assert questions_in(text) == ("Is it short?", "Does it rhyme?")
    assert len(questions_in("\n".join(f"Is it {n}?" for n in range(20)))) == 8


def judged(written, verdict):
    class Judge:
        seen = []  # noqa: RUF012  # of this test alone

        def generate(self, requests, sampling):
            return [completion(written, prompt=request.prompt) for request in requests]

        def options(self, prompts):
            self.seen += [prompt.text for prompt in prompts]
            return [(0.0, -1.0) if verdict(prompt.text) else (-1.0, 0.0) for prompt in prompts]

    judge = Judge()

    class Round(type(ROUND)):
        def policy(self, role):
            return judge

    (found,) = checklist()([group(["one", "two"])], Round())
    return found, judge


def test_each_question_is_asked_of_each_answer_by_itself():
    found, judge = judged("Is it one?\nIs it a number?", lambda text: "\none\n" in text or "a number" in text)
    assert found.score("pass_rate") == (1.0, 0.5)
    assert [chosen.completions[0].text for chosen in best("pass_rate")([found], ROUND)] == ["one"]
    assert found.signals["pass_rate_questions"] == 2.0
    assert len(judge.seen) == 4
    assert all(text.count("Question:") == 1 for text in judge.seen)


def test_without_questions_all_abstain():
    found, judge = judged("I cannot.", lambda text: True)
    assert found.score("pass_rate") == (None, None)
    assert judge.seen == []
