"""One run: ``python train.py model=alexnet``. ``--help`` lists the choices; conf/ holds them."""

import sys

try:
    import hydra
    from omegaconf import DictConfig

    from trainlab.command import check_command_line, exit_status, quick_exit, run, show_help
except ModuleNotFoundError as missing:
    print(
        f"error: {missing.name} is not installed for {sys.executable}; run `bash scripts/train.sh` once, "
        "then use .venv/bin/python (or `source .venv/bin/activate`).",
        file=sys.stderr,
    )
    sys.exit(2)


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    return run(cfg)


if __name__ == "__main__":
    show_help(sys.argv[1:])
    check_command_line(sys.argv[1:])
    with quick_exit():
        main()
        sys.exit(exit_status())
