"""libsrtp behind a pipe, by ctypes: `libsrtp.py SUITE KEY`, then a packet a line in hexadecimal, after what is to be
done with it (protect, unprotect, protect_rtcp, unprotect_rtcp). One line comes back for each: the packet, or `error N`."""

import ctypes
import sys

PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": 1,
    "AES_CM_128_HMAC_SHA1_32": 2,
    "AEAD_AES_128_GCM": 7,
    "AEAD_AES_256_GCM": 8,
}
ANY_INBOUND, ANY_OUTBOUND = 2, 3


class Ssrc(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("value", ctypes.c_uint)]


class CryptoPolicy(ctypes.Structure):
    _fields_ = [
        ("cipher_type", ctypes.c_uint32),
        ("cipher_key_len", ctypes.c_int),
        ("auth_type", ctypes.c_uint32),
        ("auth_key_len", ctypes.c_int),
        ("auth_tag_len", ctypes.c_int),
        ("sec_serv", ctypes.c_int),
    ]


class Policy(ctypes.Structure):
    _fields_ = [
        ("ssrc", Ssrc),
        ("rtp", CryptoPolicy),
        ("rtcp", CryptoPolicy),
        ("key", ctypes.c_char_p),
        ("keys", ctypes.c_void_p),
        ("num_master_keys", ctypes.c_ulong),
        ("deprecated_ekt", ctypes.c_void_p),
        ("window_size", ctypes.c_ulong),
        ("allow_repeat_tx", ctypes.c_int),
        ("enc_xtn_hdr", ctypes.c_void_p),
        ("enc_xtn_hdr_count", ctypes.c_int),
        ("next", ctypes.c_void_p),
    ]


def session(library, suite, key, direction):
    policy = Policy()
    profile = PROFILES[suite]
    for part, name in ((policy.rtp, "rtp"), (policy.rtcp, "rtcp")):
        status = getattr(library, f"srtp_crypto_policy_set_from_profile_for_{name}")(ctypes.byref(part), profile)
        assert status == 0, f"{suite} is not in this libsrtp: {status}"
    policy.ssrc.type = direction
    policy.key = key
    policy.window_size = 128
    made = ctypes.c_void_p()
    status = library.srtp_create(ctypes.byref(made), ctypes.byref(policy))
    assert status == 0, f"srtp_create for {suite}: {status}"
    return made


def main():
    suite, key = sys.argv[1], bytes.fromhex(sys.argv[2])
    library = ctypes.CDLL("libsrtp2.so.1")
    assert library.srtp_init() == 0
    sessions = {"protect": session(library, suite, key, ANY_OUTBOUND), "unprotect": session(library, suite, key, ANY_INBOUND)}
    for line in sys.stdin:
        what, packet = line.split()
        packet = bytes.fromhex(packet)
        buffer = ctypes.create_string_buffer(packet, len(packet) + 256)
        length = ctypes.c_int(len(packet))
        status = getattr(library, f"srtp_{what}")(sessions[what.split("_")[0]], buffer, ctypes.byref(length))
        print(buffer.raw[: length.value].hex() if status == 0 else f"error {status}", flush=True)


main()
