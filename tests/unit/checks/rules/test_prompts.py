"""Commands that may ask a question."""

from __future__ import annotations

import pytest

from ....helpers.checking import found_by_setup


@pytest.mark.parametrize(
    "text",
    [
        "apt-get install curl",
        "apt install --no-install-recommends curl",
        "sudo -E apt-get upgrade",
        "add-apt-repository ppa:x/y",
        "conda install numpy",
        "mamba env update -f x",
        "conda create -n x python",
        "pip uninstall x",
        "npm init",
        "yarn create vite",
        "poetry init",
        "set -o pipefail; curl -fsSL https://sh.rustup.rs | sh",
        "bash Miniconda3-latest-Linux-x86_64.sh",
        "gh auth login",
        "gcloud auth login",
        "docker login ghcr.io || exit 1",
        "npm login",
        "aws configure",
        "read -p 'Name? ' NAME",
        "read -rsp 'Password' P",
        "vim config.ini",
        "crontab -e",
        "ssh-keygen -t ed25519",
        "python manage.py collectstatic",
        "python3 manage.py createsuperuser --username a",
        "git add -p",
        "mysql_secure_installation",
        "python3 -m pip uninstall x",
        "terraform apply",
        "openssl req -x509 -newkey rsa:2048 -keyout k -out c",
        "adduser app",
        "passwd root",
        "mysql -u root -p shop",
        "keytool -importcert -file x -keystore y",
        "gpg --full-generate-key",
        "bash -c 'apt-get install curl'",
        "su -c 'apt-get install curl'",
    ],
)
def test_a_question(text):
    """
    Nobody answers it.
    """
    assert "warning prompt 2" in found_by_setup(text)


@pytest.mark.parametrize(
    "text",
    [
        "apt-get install -y curl",
        "apt-get -qqy install curl",
        "apt-get --yes install curl",
        "apt-get update",
        "apt-get -qq install curl",
        "yes | apt-get install curl",
        "add-apt-repository -y ppa:x/y",
        "conda install --yes numpy",
        "conda activate x",
        "pip uninstall -y x",
        "pip install x",
        "npm init --yes",
        "curl -fsSL https://sh.rustup.rs | sh -s -- -y",
        "bash Miniconda3.sh -b -p /opt/conda",
        "echo $T | gh auth login --with-token",
        "aws configure set region x",
        "while read -r line; do :; done <f",
        "read A <<<x",
        "read -p x A </dev/null",
        "vim --version",
        "vim -es x",
        "ssh-keygen -t ed25519 -N '' -f k",
        "python manage.py collectstatic --noinput",
        "python manage.py migrate",
        "echo apt-get install x",
        "git add .",
        "npm install login",
        "python3 -m pip uninstall -y x",
        "terraform apply -auto-approve",
        "terraform plan",
        "adduser app docker",
        "openssl req -x509 -subj /CN=x -keyout k",
        "adduser --disabled-password --gecos '' app",
        "mysql -u root -psecret shop",
        "python -m venv x",
        "bash -c 'apt-get install -y curl'",
    ],
)
def test_no_question(text):
    """
    It is answered, or there is none.
    """
    assert not any("prompt" in one for one in found_by_setup(text))
