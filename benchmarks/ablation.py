"""The layered model with each of its terms switched off, one at a time.

For each variant: `wisp train --model layered`, R measured on photos it never saw (lifting.py), then
data sets and detectors from its layers, scored on real smoke (real_smoke.py), for several seeds.

    python benchmarks/ablation.py PHOTOS --steps 400 --out result.json

Runs that are finished in --work are not repeated.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import wisp
from lifting import measure
from real_smoke import Settings, means, one_seed
from wisp.environment import machine
from wisp.rundir import read_json, write_json

SYNTH: dict[str, Any] = {"strength": "0.8:1.8", "negatives": "steam"}
"""As in the comparison of README's Results."""
VARIANTS: dict[str, dict[str, Any]] = {
    "all terms": {},
    "without supervised": {"lift_supervised": 0.0},
    "without identity": {"lift_identity": 0.0},
}


def one_variant(
    arguments: argparse.Namespace, changes: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """Train R, lift, and judge by R's own figures and by detectors; what fails is said."""
    run = folder / "layered"
    if not (run / "result.json").exists():
        try:
            wisp.train(
                arguments.photos / "clean",
                arguments.photos / "smoky",
                out=run,
                model="layered",
                backbone="mobilenetv2_100",
                weights=str(arguments.weights),
                steps=arguments.steps,
                seed=arguments.seed,
                **changes,
            )
        except wisp.InputError as error:  # nothing could be lifted: a result, too
            said = str(error).replace(f"{arguments.photos}/", "")
            return {"changes": changes, "failed": said, "lifting": None, "mean": None}
    settings = Settings(
        arguments.photos, arguments.weights, str(run), synth=SYNTH, classify={"threshold": "fpr05"}
    )
    rows = [one_seed(settings, seed, folder / f"seed-{seed}") for seed in range(arguments.seeds)]
    return {
        "changes": changes,
        "seconds": read_json(run / "result.json")["seconds"],
        "bank": read_json(run / "result.json")["lifting"],
        "lifting": measure(run, arguments.photos),
        "mean": means(rows),
        "seeds": rows,
    }


def main() -> None:
    """Every variant in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0, help="of the training of R")
    parser.add_argument("--seeds", type=int, default=3, help="detectors per variant")
    parser.add_argument("--work", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    for name, changes in VARIANTS.items():
        results[name] = one_variant(arguments, changes, arguments.work / name.replace(" ", "-"))
        print(name, json.dumps({key: results[name][key] for key in ("lifting", "mean")}))
        write_json(
            arguments.out,
            {
                "what": "the layered model with each term of its training off, one at a time",
                "steps": arguments.steps,
                "variants": results,
                "machine": machine(),
            },
        )


if __name__ == "__main__":
    main()
