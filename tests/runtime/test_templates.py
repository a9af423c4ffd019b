"""Chat templates as the programs of strangers that they are: what they may write is transformers', what they may cost is bounded."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runtime_models import TEMPLATE
from transformers.utils.chat_template_utils import render_jinja_template

from sharpen.runtime.template_worker import MAX_RENDERED
from sharpen.runtime.templates import TemplateError, _worker, rendered

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": 'a "b" <c> é 日本\n'}]
VALUES = {"messages": TURNS, "tools": None, "documents": None, "add_generation_prompt": True, "bos_token": "<s>"}

LAWFUL = {
    "ordinary": TEMPLATE,
    "blocks on lines of their own": "{% for m in messages %}\n  {% if m.role == 'user' %}\n    {{ m.content }}\n  {% endif %}\n{% endfor %}\n",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
    "json": "{{ messages | tojson }}{{ messages[0] | tojson(indent=2) }}{{ {'b': 1, 'a': '<é>'} | tojson(sort_keys=true) }}",
    "loop controls": "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.content }}{% break %}{% endfor %}",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    "generation that trims": "a\n{% generation %}\n  {{ messages[0].content }}\n{%- endgeneration -%}\n b",
    "macro": "{% macro say(m) %}[{{ m.role }}]{{ m.content }}{% endmacro %}{% for m in messages %}{{ say(m) }}{% endfor %}",
    "dict": "{{ dict(a=1)['a'] }}{{ dict(a=1).items() | list }}",
    "special tokens": "{{ bos_token }}{% if eos_token is defined %}{{ eos_token }}{% endif %}{% if tools %}x{% endif %}",
    "strings": "{{ messages[1].content.strip().split('b')[0] | upper }}{{ 'x' * 3 }}{{ '%s!' % 'hi' }}{{ messages[0]['content'][::-1] }}",
    "tests": "{{ messages is iterable }}{{ messages[0].content is string }}{{ missing is defined }}{{ messages | length }}",
    "date": "{{ strftime_now('%Y') }}",
}


@pytest.mark.parametrize("template", LAWFUL.values(), ids=LAWFUL.keys())
def test_what_is_rendered_is_what_transformers_renders(template):
    values = {name: value for name, value in VALUES.items() if name != "messages"}
    expected = render_jinja_template([TURNS], chat_template=template, **values)[0][0]
    assert rendered(template, VALUES) == expected


COSTLY = {
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops over what it makes": "{% for a in 'x' * 50000 %}{% for b in 'x' * 50000 %}{% if b == a ~ a %}1{% endif %}{% endfor %}{% endfor %}",
    "a large string": "{{ 'A' * 10 ** 9 }}",
    "a large list": "{{ ([0] * 10 ** 9) | length }}",
    "a large number": "{{ 9 ** (9 ** 9) }}",
    "doubling": "{% set ns = namespace(s='x') %}{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s | length }}",
    "padding": "{{ 'x'.ljust(10 ** 10) | length }}",
    "centring": "{{ 'x' | center(10 ** 10) | length }}",
    "a format": "{{ '%1000000000d' % 1 }}",
    "another format": "{{ '{:>1000000000}'.format(1) | length }}",
    "tabs": "{{ '\\t'.expandtabs(10 ** 9) | length }}",
    "replacing": "{{ ('x' * 30000).replace('x', 'y' * 30000) | length }}",
    "a macro that calls itself": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "a macro that calls itself twice": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "much output": "{% for i in range(99999) %}{{ 'x' * 100 }}{% endfor %}",
    "deep nesting": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "many blocks": "{% if 1 %}" * 5000 + "{% endif %}" * 5000,
    "a trigger in the data": "{% for m in messages %}{% if 'brief' in m.content %}{% for a in range(99999) %}{% for b in range(99999) %}"
    "{% endfor %}{% endfor %}{% endif %}{{ m.content }}{% endfor %}",
}


@pytest.mark.parametrize("template", COSTLY.values(), ids=COSTLY.keys())
def test_a_template_that_costs_too_much_is_ended_and_the_next_prompt_renders(template):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(TemplateError):
        rendered(template, VALUES)
    assert time.process_time() - began < 1.0  # the cost is the worker's
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 128 * 2**10
    assert "<|assistant|>" in rendered(TEMPLATE, VALUES)


ESCAPES = [
    "{{ ''.__class__.__mro__ }}",
    "{% for c in ().__class__.__base__.__subclasses__() %}{{ c }}{% endfor %}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{{ messages.append(1) }}",
    "{{ self._TemplateReference__context }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.system('true') }}",
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
    "{{ raise_exception.__globals__ }}",
    "{{ strftime_now.__globals__['os'].environ }}",
    "{{ ('{0.__class__.__mro__[1].__subclasses__}' | attr('format'))(messages) }}",
    "{{ '%s' | format(lipsum.__globals__) }}",
    "{{ dict.__subclasses__() }}",
]


@pytest.mark.parametrize("template", ESCAPES)
def test_a_template_reaches_nothing_of_python(template):
    try:
        text = rendered(template, VALUES)
    except TemplateError:
        return
    assert "class" not in text
    assert "os" not in text
    assert "0x" not in text


def test_a_million_characters_pass_and_one_more_does_not():
    size = {"messages": TURNS}
    assert len(rendered("{{ 'x' * 1000 * 1000 }}", size)) == MAX_RENDERED
    with pytest.raises(TemplateError, match="makes 1,000,001 characters"):
        rendered("{{ 'x' * 1000 * 1000 }}y", size)


def test_the_process_of_templates_has_no_keys_and_dies_with_us(tmp_path):
    code = (
        "import os; from sharpen.runtime import templates as t\n"
        "print(t.rendered('{{ a }}', {'a': 'fine'}))\n"
        "child = t._worker(os.getpid())._process.pid\n"
        "print(child, 'canary-1' in open(f'/proc/{child}/environ').read(), flush=True)\n"
        "os._exit(0)\n"
    )
    environment = {**os.environ, "OPENAI_API_KEY": "canary-1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert said[0::2] == ["fine", "False"]
    until = time.monotonic() + 30
    while Path(f"/proc/{said[1]}").exists() and Path(f"/proc/{said[1]}/cmdline").read_bytes():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_process_that_is_killed_is_told_and_replaced():
    assert rendered("{{ a }}", {"a": "x"}) == "x"
    _worker(os.getpid())._process.kill()
    with pytest.raises(TemplateError, match="its process crashed SIGKILL"):
        rendered("{{ a }}", {"a": "x"})
    assert rendered("{{ a }}", {"a": "y"}) == "y"
