def test_a(codex_workspace):
    r = codex_workspace.exec(
        "for i in $(seq 400); do echo line $i of the build; done; echo 'E: the real reason'; exit 1"
    )
    assert r.ok
