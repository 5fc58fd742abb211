from lessons import findings


def test_a_claim_says_whether_it_holds(monkeypatch):
    shown = []
    monkeypatch.setattr(findings, "display", lambda html: shown.append(html.data))
    monkeypatch.setattr(findings, "_found", {})
    findings.finding("a < b", True, "1 against 2")
    findings.finding("all alike", False, "3 of 5")
    findings.finding("a < b", False, "2 against 1")  # the cell was run again
    assert "In this run:</b> a &lt; b (1 against 2)." in shown[0]
    assert "Not here:</b> all alike (3 of 5)." in shown[1]
    findings.findings()
    assert shown[3].count("<li>") == 2
    assert "Not here:</b> a &lt; b (2 against 1)." in shown[3]
