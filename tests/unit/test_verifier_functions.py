"""People's own functions as verifiers: found by name or file, called in their own shape, identified by their code."""

import functools
import pickle
import sys
from pathlib import Path

import pytest
from planted_verifiers import Longer
from verifier_builders import answer, pair

from sharpen.errors import VerifierError
from sharpen.identity import function_key
from sharpen.parts import part
from sharpen.types import Message, Prompt, Text, user
from sharpen.verifiers import VerifierPool, as_verifier, choice, exact, formula, load_verifier, number, pattern
from sharpen.verifiers.addresses import address_of, import_file, resolve
from sharpen.verifiers.columns import call_with_columns, form_of, takes_columns
from sharpen.verifiers.verdicts import BadVerdict, judge, score_of


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a module into a folder of its own; what it puts on the path is taken away again."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


PAIR = "def check(prompt, completion):\n    return completion.text == prompt.target\n"
COLUMNS = "def check(completions, target, **columns):\n    return [c == t for c, t in zip(completions, target)]\n"


@pytest.mark.parametrize(
    ("spec", "verifier"),
    [
        ("number", number()),
        ("number:0.01", number(tolerance=0.01)),
        ("choice", choice()),
        ("exact", exact()),
        ("formula", formula()),
        ("pattern:a:b", pattern("a:b")),
    ],
)
def test_loads_the_shipped_by_a_word(spec, verifier):
    assert load_verifier(spec) == verifier


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("numbr", "there is no verifier 'numbr'; did you mean 'number'"),
        ("", "choose one of number, choice, exact, formula, code, pattern:REGEX"),
        ("pattern", "write pattern:REGEX"),
        ("pattern:", "write pattern:REGEX"),
        ("pattern:(", "does not compile"),
        ("choice:A", "'choice:A' is incomplete or has too much; write choice"),
        ("number:few", "the tolerance is 'few'"),
        ("number:-1", "tolerance is -1.0; it is a finite number of at least 0"),
        ("missing.py:check", "there is no file 'missing.py'"),
        ("no_such_module:check", "there is no module 'no_such_module'"),
        ("json.no_such:check", "there is no module 'json.no_such'"),
        ("json:dmps", "has no 'dmps'; did you mean 'dumps'"),
        ("json:", "names no function"),
        (":check", "names no function"),
    ],
)
def test_a_bad_word_is_refused_with_a_way_out(spec, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        load_verifier(spec)


@pytest.mark.parametrize("text", [PAIR, COLUMNS])
def test_loads_a_file_in_either_shape(write, text):
    verifier = load_verifier(f"{write(text)}:check")
    assert verifier(*pair("right")) == 1.0
    assert verifier(*pair("wrong")) == 0.0
    assert repr(verifier) == "mine.py:check"


def test_loads_a_module_by_name(write):
    path = write(PAIR, "a_module_of_mine.py")
    sys.path.append(str(path.parent))
    verifier = load_verifier("a_module_of_mine:check")
    assert verifier(*pair("right")) == 1.0
    assert repr(verifier) == "a_module_of_mine:check"
    assert load_verifier("a_module_of_mine:check").key == verifier.key


def test_a_module_in_the_current_folder_is_found_and_spawned(write, monkeypatch):
    path = write(PAIR, "a_module_right_here.py")
    monkeypatch.chdir(path.parent)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])  # as a console script has it
    with VerifierPool(load_verifier("a_module_right_here:check"), num_workers=1) as pool:
        assert [verdict.score for verdict in pool.verify([pair("right"), pair("wrong")])] == [1.0, 0.0]


def test_loads_objects_methods_and_shipped_verifiers_by_name(write):
    path = write(
        "from sharpen.verifiers import number\n"
        "class Checker:\n"
        "    def __init__(self, right): self.right = right\n"
        "    def __call__(self, prompt, completion): return completion.text == self.right\n"
        "    @staticmethod\n"
        "    def method(completions): return [len(text) for text in completions]\n"
        "check = Checker('right')\n"
        "near = number(tolerance=1)\n"
        "other = 5\n"
    )
    assert load_verifier(f"{path}:check")(*pair("right")) == 1.0
    assert load_verifier(f"{path}:Checker.method")(*pair("1")) == 1.0
    assert load_verifier(f"{path}:near") == number(tolerance=1)
    with pytest.raises(TypeError, match="is a int; name a function"):
        load_verifier(f"{path}:other")
    with pytest.raises(TypeError, match=r"is a class; give an instance of it, such as Checker\(\)"):
        load_verifier(f"{path}:Checker")


def test_a_file_sees_the_modules_beside_it_and_leaves_no_cache(write):
    write("RIGHT = 'right'\n", "beside_it.py")
    write("LATE = 1.0\n", "beside_it_later.py")
    path = write(
        "import beside_it\ndef check(prompt, completion):\n    import beside_it_later\n"
        "    return beside_it_later.LATE * (completion.text == beside_it.RIGHT)\n"
    )
    assert load_verifier(f"{path}:check")(*pair("right")) == 1.0
    assert not list(path.parent.glob("__pycache__/mine*"))


def test_identity_is_content_not_place(write, tmp_path):
    first = load_verifier(f"{write(PAIR)}:check").key
    (tmp_path / "moved").mkdir()
    assert load_verifier(f"{write(PAIR, 'moved/mine.py')}:check").key == first
    edited = load_verifier(f"{write(PAIR.replace('==', '!='))}:check")  # same size and, maybe, the same second
    assert edited.key != first
    assert edited(*pair("wrong")) == 1.0
    other = write(PAIR + "def other(prompt, completion):\n    return 1\n", "two.py")
    assert load_verifier(f"{other}:check").key != load_verifier(f"{other}:other").key


def test_identity_covers_what_the_file_imports_from_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    keys = set()
    for folder, right in (("one", "right"), ("two", "wrong")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"besides_{folder}.py").write_text(f"RIGHT = {right!r}\n")
        text = f"from besides_{folder} import RIGHT\ndef check(prompt, completion):\n    return completion.text == RIGHT\n"
        (tmp_path / folder / "mine.py").write_text(text)
        keys.add(load_verifier(f"{tmp_path / folder / 'mine.py'}:check").key)
    assert len(keys) == 2


def test_a_decorated_function_has_an_identity(write):
    path = write(
        "import functools\n"
        "def timed(function):\n"
        "    @functools.wraps(function)\n"
        "    def run(*args): return function(*args)\n"
        "    return run\n"
        "@timed\n" + PAIR
    )
    verifier = load_verifier(f"{path}:check")
    assert verifier(*pair("right")) == 1.0
    assert verifier.key == load_verifier(f"{path}:check").key
    assert function_key(verifier) == verifier.key


def test_an_address_leads_back_and_an_edited_file_is_refused(write):
    path = write(PAIR)
    check = import_file(path).check
    address = address_of(check)
    assert address is not None
    assert resolve(address) is check
    path.write_text(PAIR + "# edited\n")
    with pytest.raises(VerifierError, match=r"mine\.py was changed after the run had read it"):
        resolve(address)


def test_what_only_this_process_has_no_address():
    def inner(prompt, completion):
        return None

    assert address_of(inner) is None
    assert address_of(lambda prompt, completion: None) is None
    assert address_of(functools.partial(pair)) is None
    assert address_of(pair) is not None


@pytest.mark.parametrize("text", ["1 / 0\n", "import a_package_that_is_not_installed\n", "def check(:\n"])
def test_a_file_that_fails_is_named(write, text):
    before = set(sys.modules)
    with pytest.raises(VerifierError, match=r"mine\.py cannot be imported: (\w+: .*mine\.py|No module named)"):
        load_verifier(f"{write(text)}:check")
    assert not [name for name in set(sys.modules) - before if name.startswith("mine@")]


def test_shapes_are_told_by_the_signature():
    assert not takes_columns(lambda prompt, completion: 1)
    assert not takes_columns(lambda p, c, strict=True: 1)
    assert not takes_columns(lambda *args: 1)
    assert takes_columns(lambda completions, **columns: [1])
    assert takes_columns(lambda prompts, completions: [1])
    assert takes_columns(lambda *, completions, target: [1])
    assert takes_columns(lambda **columns: [1])

    async def later(completions, **columns):
        return [1]

    for function in (lambda: 1, lambda one: 1, lambda one, two, three: 1, lambda one, two, *, three: 1, later):
        with pytest.raises(ValueError, match="verifier"):
            takes_columns(function)


def test_columns_are_the_rows_others_the_target_and_the_ids():
    seen = {}

    def reward(completions, **columns):
        seen.update(columns, completions=completions)
        return [1.0]

    prompt = user("2 + 2?", target="4", tags={"level": 3, "id": "q1"})
    assert as_verifier(reward)(prompt, answer("four")) == 1.0
    assert seen == {
        "prompts": ["2 + 2?"],
        "completions": ["four"],
        "completion_ids": [[]],
        "target": ["4"],
        "options": [None],
        "level": [3],
        "id": ["q1"],
    }


def test_a_function_gets_the_columns_that_it_names():
    verifier = as_verifier(lambda completions, level: [level[0] / 10])
    assert verifier(user("?", tags={"level": 3}), answer("x")) == 0.3
    with pytest.raises(
        TypeError, match=r"asks for column 'level', which the rows lack; they have completion_ids, completions, id"
    ):
        verifier(user("?", tags={"id": "q"}), answer("x"))


def test_completions_are_messages_where_the_function_reads_messages():
    def by_trial(completions, prompts, target):
        assert prompts[0][-1]["role"] == "user"
        return [completion[0]["content"] == gold for completion, gold in zip(completions, target, strict=True)]

    def by_annotation(completions: list[list[dict[str, str]]], target):
        return [len(completion) == 1 and completion[0]["role"] == "assistant" for completion in completions]

    def text(completions: list[str]):
        return [len(completion) / 10 for completion in completions]

    assert as_verifier(by_trial)(*pair("right")) == as_verifier(by_trial)(*pair("", target="")) == 1.0
    assert form_of(by_annotation) == "messages"
    assert as_verifier(by_annotation)(*pair("right")) == 1.0
    assert form_of(text) == "text"
    assert as_verifier(text)(*pair("right")) == 0.5


def test_messages_keep_roles_and_order():
    messages = (Message(role="system", content=(Text(text="Be brief."),)), Message(role="user", content=(Text(text="Hi"),)))

    def reward(completions: list[list[dict]], prompts):
        return [prompts[0] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]]

    assert as_verifier(reward)(Prompt(messages=messages), answer("x")) == 1.0


def test_the_first_error_is_the_one_that_is_told():
    def broken(completions):
        return [completion.split("####")[1] for completion in completions]

    with pytest.raises(IndexError):
        call_with_columns(broken, None, *pair("no mark"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1.0, 0.0], "returned 2 values"),
        ([], "returned 0 values"),
        ("1", "returned str"),
        (1.0, "returned float"),
        ({"right": 1.0}, "returned dict"),
        (None, "returned NoneType"),
        (["1"], "returned str"),
        ([float("nan")], "returned nan"),
    ],
)
def test_pitfall_23_a_wrong_list_is_an_abstention(value, reason):
    verdict = judge(as_verifier(lambda completions: value), *pair("x"))
    assert (verdict.score, verdict.reason) == (None, reason)


def test_scores_of_numpy_and_of_none():
    numpy = pytest.importorskip("numpy")
    assert score_of(numpy.float32(0.5)) == 0.5
    assert score_of(numpy.bool_(True)) == 1.0
    assert score_of(None) is None
    for bad in (float("inf"), -0.1, 1.1, "1", b"1", [1.0], object(), 1j, 10**400):
        with pytest.raises(BadVerdict):
            score_of(bad)


def test_a_function_is_wrapped_once():
    verifier = as_verifier(pair)
    assert as_verifier(verifier) is verifier
    assert as_verifier(number()) == number()
    with pytest.raises(TypeError, match="'number' is no verifier"):
        as_verifier("number")


class Nameless:
    def __call__(self, prompt, completion):
        return 1.0


def test_objects_are_identified_by_how_they_print():
    assert as_verifier(Longer(1)).key == as_verifier(Longer(1)).key != as_verifier(Longer(2)).key
    assert repr(as_verifier(Longer(1))) == "Longer(than=1)"
    assert repr(as_verifier(Nameless())) == "test_verifier_functions:Nameless"
    with pytest.raises(ValueError, match="does not print its values; make its class a frozen dataclass"):
        _ = as_verifier(Nameless()).key


def test_closures_are_refused_as_identities_but_partials_are_not():
    wanted = "right"
    verifier = as_verifier(lambda prompt, completion: completion.text == wanted)
    assert verifier(*pair("right")) == 1.0
    with pytest.raises(ValueError, match="captures wanted"):
        _ = verifier.key
    partial = as_verifier(functools.partial(_equals, "right"))
    assert partial(*pair("right")) == 1.0
    assert partial.key == as_verifier(functools.partial(_equals, "right")).key
    assert partial.key != as_verifier(functools.partial(_equals, "wrong")).key
    assert repr(partial) == "partial(test_verifier_functions:_equals, 'right')"


def _equals(wanted, prompt, completion):
    return completion.text == wanted


def test_a_verifier_is_an_argument_of_a_part(write):
    @part()
    def checked(verifier):
        return lambda groups, round: groups

    verifier = load_verifier(f"{write(COLUMNS)}:check")
    assert repr(checked(verifier)) == "checked(mine.py:check)"
    assert repr(checked(number())) == "checked(number(tolerance=0.0, relative=0.0))"
    assert checked(verifier).key == checked(verifier).key != checked(number()).key
    assert checked(number()).key == checked(pickle.loads(pickle.dumps(number()))).key
