"""python3-fido2, whose code is not ours, as the client and the relying party of a kernel key.

PIN protocols one and two, three algorithms, credentials that are discoverable and not,
hmac-secret and credProtect. Prints "all well" last.
"""

from fido2.client import Fido2Client
from fido2.ctap2 import ClientPin, Ctap2
from fido2.ctap2.extensions import CredProtectExtension
from fido2.ctap2.pin import PinProtocolV1, PinProtocolV2
from fido2.hid import CtapHidDevice
from fido2.server import Fido2Server
from fido2.webauthn import PublicKeyCredentialRpEntity

device = next(CtapHidDevice.list_devices())
ctap = Ctap2(device)
for protocol in (PinProtocolV1, PinProtocolV2):
    pin = ClientPin(ctap, protocol())
    if ctap.get_info().options["clientPin"]:
        pin.change_pin("1234", "longer PIN")
        pin.change_pin("longer PIN", "1234")
    else:
        pin.set_pin("1234")
    try:
        pin.get_pin_token("9999", ClientPin.PERMISSION.GET_ASSERTION, "example.com")
        raise SystemExit("a wrong PIN gives a token")
    except Exception as error:
        assert "PIN_INVALID" in str(error), error
    retries, _ = pin.get_pin_retries()
    assert retries == 7, retries
    assert len(pin.get_pin_token("1234", ClientPin.PERMISSION.GET_ASSERTION, "example.com")) == 32

statuses = []
client = Fido2Client(device, "https://example.com")
for algorithm in (-7, -8, -257):
    for discoverable in (True, False):
        server = Fido2Server(PublicKeyCredentialRpEntity("example.com", "Example"), attestation="direct")
        user = {"id": b"%d" % algorithm, "name": "alice", "displayName": "Alice"}
        options, state = server.register_begin(user, resident_key=discoverable, user_verification="required")
        options = dict(options["publicKey"])
        options["pubKeyCredParams"] = [{"type": "public-key", "alg": algorithm}]
        options["extensions"] = {"hmacCreateSecret": True, "credentialProtectionPolicy": CredProtectExtension.POLICY.OPTIONAL}
        made = client.make_credential(options, pin="1234", on_keepalive=statuses.append)
        registered = server.register_complete(state, made.client_data, made.attestation_object).credential_data
        assert made.extension_results["hmacCreateSecret"] is True
        assert registered.public_key.ALGORITHM == algorithm

        allowed = None if discoverable else [registered]
        options, state = server.authenticate_begin(allowed, user_verification="required")
        options = dict(options["publicKey"])
        options["extensions"] = {"hmacGetSecret": {"salt1": b"1" * 32, "salt2": b"2" * 32}}
        got = client.get_assertion(options, pin="1234", on_keepalive=statuses.append).get_response(0)
        server.authenticate_complete(
            state, [registered], got.credential_id, got.client_data, got.authenticator_data, got.signature
        )
        secrets = got.extension_results["hmacGetSecret"]
        assert len(secrets["output1"]) == 32 and secrets["output1"] != secrets["output2"]
assert 2 in statuses, "the key never said that it waits for a touch"
print("all well")
