"""Run as a process of its own: what `cigate policy decide` does, as somebody would write it around cel-python.

`python cold_cel_python.py POLICY.yaml FACTS.json all|applicable`: read the policy with libyaml's loader, make a program
of every rule, as whoever wants to know of a mistake in any must, or only of those that apply; evaluate the latter;
print the effect.
"""

import json
import sys

import celpy
import yaml
from celpy.evaluation import CELEvalError


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = yaml.load(file, Loader=yaml.CSafeLoader)["spec"]
    with open(sys.argv[2], encoding="utf-8") as file:
        document = json.load(file)
    environment = celpy.Environment()

    def program(expression: str) -> celpy.Runner:
        return environment.program(environment.compile(expression))

    facts = {name: celpy.json_to_cel(one) for name, one in document.items()}
    facts["variables"] = celpy.celtypes.MapType(
        {
            celpy.celtypes.StringType(one["name"]): program(one["expression"]).evaluate(facts)
            for one in spec.get("variables", ())
        }
    )
    true = set()
    for rule in spec["rules"]:
        applies = document["action"] in rule.get("actions", [document["action"]])
        if not applies and sys.argv[3] == "applicable":
            continue
        compiled = program(rule.get("expression", "true"))
        try:
            if applies and compiled.evaluate(facts):
                true.add("gate" if "throttle" in rule else rule["effect"])
        except CELEvalError:
            true.add("deny")
    if "allow" not in true:
        true.add("deny")
    print(next(effect for effect in ("deny", "require_approval", "throttle", "allow") if effect in true))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
