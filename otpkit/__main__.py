"""`python -m otpkit` is the command `otpkit`."""

from otpkit.cli import main

if __name__ == "__main__":
    main()
