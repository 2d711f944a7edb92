"""python3-fido2, whose code is not ours, looks after a kernel key: credentials, large blobs, settings, fingers.

The argument is the key's profile. Prints "all well" last.
"""

import sys

from fido2.ctap2 import ClientPin, Ctap2
from fido2.ctap2.bio import CaptureError, FPBioEnrollment
from fido2.ctap2.blob import LargeBlobs
from fido2.ctap2.config import Config
from fido2.ctap2.credman import CredentialManagement
from fido2.hid import CtapHidDevice

profile = sys.argv[1]
ctap = Ctap2(next(CtapHidDevice.list_devices()))
client_pin = ClientPin(ctap)
client_pin.set_pin("135790")
P = ClientPin.PERMISSION


def token(permissions, rp_id=None):
    return client_pin.get_pin_token("135790", permissions, rp_id)


def make(user, extensions=None):
    hashed = b"\1" * 32
    param = client_pin.protocol.authenticate(token(P.MAKE_CREDENTIAL, "example.org"), hashed)
    return ctap.make_credential(
        hashed, {"id": "example.org", "name": "Example"}, {"id": user, "name": user.decode(), "displayName": "D"},
        [{"type": "public-key", "alg": -7}], extensions=extensions, options={"rk": True},
        pin_uv_param=param, pin_uv_protocol=client_pin.protocol.VERSION,
    )


large = profile == "fido2.1"
made = make(b"alice", {"largeBlobKey": True, "credBlob": b"small"} if large else {"credBlob": b"small"})
make(b"bob")
assert made.auth_data.extensions["credBlob"] is True, made.auth_data.extensions
R = CredentialManagement.RESULT
manager = CredentialManagement(ctap, client_pin.protocol, token(P.CREDENTIAL_MGMT))
assert manager.get_metadata()[R.EXISTING_CRED_COUNT] == 2
rps = manager.enumerate_rps()
assert [rp[R.RP]["id"] for rp in rps] == ["example.org"], rps
credentials = manager.enumerate_creds(rps[0][R.RP_ID_HASH])
assert sorted(c[R.USER]["name"] for c in credentials) == ["alice", "bob"], credentials
alice = next(c for c in credentials if c[R.USER]["name"] == "alice")
bob = next(c for c in credentials if c[R.USER]["name"] == "bob")
assert alice[R.CREDENTIAL_ID]["id"] == made.auth_data.credential_data.credential_id
manager.delete_cred(bob[R.CREDENTIAL_ID])
assert manager.get_metadata()[R.EXISTING_CRED_COUNT] == 1

if large:
    key = alice[R.LARGE_BLOB_KEY]
    assert key == made.large_blob_key
    blobs = LargeBlobs(ctap, client_pin.protocol, token(P.LARGE_BLOB_WRITE))
    text = b"some certificate " * 150  # more than a fragment
    blobs.put_blob(key, text)
    assert blobs.get_blob(key) == text
    blobs.delete_blob(key)
    assert blobs.get_blob(key) is None

config = Config(ctap, client_pin.protocol, token(P.AUTHENTICATOR_CFG))
config.toggle_always_uv()
assert ctap.get_info().options["alwaysUv"] is True
config = Config(ctap, client_pin.protocol, token(P.AUTHENTICATOR_CFG))
config.toggle_always_uv()
config.set_min_pin_length(6, ["example.org"])
assert ctap.get_info().min_pin_length == 6

if profile == "fido2.3-bio":
    bio = FPBioEnrollment(ctap, client_pin.protocol, token(P.BIO_ENROLL))
    assert bio.get_fingerprint_sensor_info()[FPBioEnrollment.RESULT.FINGERPRINT_KIND] == 1
    context = bio.enroll()
    template = None
    mistakes = 0
    while template is None:
        try:
            template = context.capture()
        except CaptureError as error:
            mistakes += 1
            assert error.code == FPBioEnrollment.FEEDBACK.FP_TOO_FAST, error
    assert mistakes == 1, mistakes
    bio.set_name(template, "thumb")
    assert bio.enumerate_enrollments() == {template: "thumb"}
    bio.remove_enrollment(template)
    assert bio.enumerate_enrollments() == {}
print("all well")
