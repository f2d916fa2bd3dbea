"""Run the command `otpkit` by `python -m otpkit`."""

from otpkit.cli import main

if __name__ == "__main__":
    main()
