"""Drives a key service with boto3 as it comes. Arguments: endpoint, then for each
of root, user and other an access key ID and a secret. The server delays new
grants. Prints one line for each check and exits with 1 when one fails."""
import sys, boto3
from botocore.config import Config
from botocore.exceptions import ClientError

url, args = sys.argv[1], sys.argv[2:]
ACCOUNT = "arn:aws:iam::000000000000:"
USER, OTHER = ACCOUNT + "user/user", ACCOUNT + "user/other"
failed, operations = [], set()


def client(i, **kw):
    creds = dict(aws_access_key_id=args[2 * i], aws_secret_access_key=args[2 * i + 1])
    creds.update(kw)
    c = boto3.client("kms", endpoint_url=url, region_name="us-east-1", **creds)
    c.meta.events.register("before-call.kms", lambda model, **_: operations.add(model.name))
    return c


root, user, other = client(0), client(1), client(2)
# The server's own checks of ranges: this one does not check before it sends.
loose = boto3.client("kms", endpoint_url=url, region_name="us-east-1", aws_access_key_id=args[0], aws_secret_access_key=args[1],
                     config=Config(parameter_validation=False))


def check(name, ok, what=""):
    print("ok  " if ok else "FAIL", name, what)
    if not ok:
        failed.append(name)


def refused(name, code, f, **kw):
    try:
        f(**kw)
    except ClientError as e:
        check(name, e.response["Error"]["Code"] == code, e.response["Error"]["Code"])
    else:
        check(name, False, "served")


# keys
meta = root.create_key(Description="first", Tags=[{"TagKey": "team", "TagValue": "a"}])["KeyMetadata"]
key, arn = meta["KeyId"], meta["Arn"]
second = root.create_key()["KeyMetadata"]["KeyId"]
check("CreateKey", meta["KeyState"] == "Enabled" and meta["Enabled"] and meta["KeyUsage"] == "ENCRYPT_DECRYPT")
check("DescribeKey", root.describe_key(KeyId=arn)["KeyMetadata"]["Description"] == "first")
refused("DescribeKey of nothing", "NotFoundException", root.describe_key, KeyId="11111111-1111-1111-1111-111111111111")
refused("another's DescribeKey", "AccessDeniedException", user.describe_key, KeyId=key)
check("ListKeys pages", [k["KeyId"] for p in root.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1}) for k in p["Keys"]] == sorted([key, second]))
refused("another's ListKeys", "AccessDeniedException", user.list_keys)
refused("asymmetric keys", "UnsupportedOperationException", root.create_key, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
refused("nobody's access key", "InvalidSignatureException", client(0, aws_access_key_id="AKIDNOBODY").list_keys)
refused("another secret", "InvalidSignatureException", client(0, aws_secret_access_key="x" * 40).list_keys)
refused("a session token", "InvalidSignatureException", client(0, aws_session_token="t").list_keys)

# encryption
ec = {"tenant": "a", "Purpose": "Pages"}
blob = root.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=ec)["CiphertextBlob"]
out = root.decrypt(CiphertextBlob=blob, EncryptionContext=ec)
check("Decrypt", out["Plaintext"] == b"secret" and out["KeyId"] == arn)
for name, wrong in {"missing": {}, "less": {"tenant": "a"}, "more": dict(ec, x="y"), "another value": dict(ec, tenant="b"),
                    "case of a value": dict(ec, tenant="A"), "case of a key": {"Tenant": "a", "Purpose": "Pages"}}.items():
    refused("Decrypt, context " + name, "InvalidCiphertextException", root.decrypt, CiphertextBlob=blob, EncryptionContext=wrong)
refused("Decrypt, altered", "InvalidCiphertextException", root.decrypt, CiphertextBlob=blob[:-1] + bytes([blob[-1] ^ 1]), EncryptionContext=ec)
refused("Decrypt, garbage", "InvalidCiphertextException", root.decrypt, CiphertextBlob=b"x" * 100)
refused("Decrypt, another key", "IncorrectKeyException", root.decrypt, CiphertextBlob=blob, EncryptionContext=ec, KeyId=second)
refused("another's Decrypt", "AccessDeniedException", user.decrypt, CiphertextBlob=blob, EncryptionContext=ec)
refused("Encrypt, dry", "DryRunOperationException", root.encrypt, KeyId=key, Plaintext=b"x", DryRun=True)
refused("Decrypt, dry", "DryRunOperationException", root.decrypt, CiphertextBlob=blob, EncryptionContext=ec, DryRun=True)
refused("Decrypt, dry and wrong", "InvalidCiphertextException", root.decrypt, CiphertextBlob=blob, DryRun=True)
refused("another's Encrypt, dry", "AccessDeniedException", user.encrypt, KeyId=key, Plaintext=b"x", DryRun=True)
again = root.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=ec, DestinationKeyId=second, DestinationEncryptionContext={"t": "b"})
check("ReEncrypt", root.decrypt(CiphertextBlob=again["CiphertextBlob"], EncryptionContext={"t": "b"})["Plaintext"] == b"secret" and again["SourceKeyId"] == arn)
refused("ReEncrypt, wrong context", "InvalidCiphertextException", root.re_encrypt, CiphertextBlob=blob, SourceEncryptionContext={}, DestinationKeyId=second)
refused("ReEncrypt, source pinned", "IncorrectKeyException", root.re_encrypt, CiphertextBlob=blob, SourceEncryptionContext=ec, SourceKeyId=second, DestinationKeyId=second)
dk = root.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=ec)
check("GenerateDataKey", len(dk["Plaintext"]) == 32 and root.decrypt(CiphertextBlob=dk["CiphertextBlob"], EncryptionContext=ec)["Plaintext"] == dk["Plaintext"])
blind = root.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=64)
check("GenerateDataKeyWithoutPlaintext", "Plaintext" not in blind and len(root.decrypt(CiphertextBlob=blind["CiphertextBlob"])["Plaintext"]) == 64)
refused("GenerateDataKey of no size", "ValidationException", root.generate_data_key, KeyId=key)
check("GenerateRandom", len(root.generate_random(NumberOfBytes=100)["Plaintext"]) == 100)
refused("another's GenerateRandom", "AccessDeniedException", other.generate_random, NumberOfBytes=1)

# grants
grant = root.create_grant(KeyId=key, GranteePrincipal=USER, RetiringPrincipal=OTHER, Name="index", Operations=["Decrypt", "GenerateDataKey", "CreateGrant", "DescribeKey"],
                          Constraints={"EncryptionContextSubset": {"TENANT": "a"}})
token = [grant["GrantToken"]]
refused("a new grant without its token", "AccessDeniedException", user.decrypt, CiphertextBlob=blob, EncryptionContext=ec)
check("a new grant with its token", user.decrypt(CiphertextBlob=blob, EncryptionContext=ec, GrantTokens=token)["Plaintext"] == b"secret")
refused("a token in another's hands", "AccessDeniedException", other.decrypt, CiphertextBlob=blob, EncryptionContext=ec, GrantTokens=token)
refused("not a token", "InvalidGrantTokenException", user.decrypt, CiphertextBlob=blob, EncryptionContext=ec, GrantTokens=["abc"])
for name, wrong in {"another value": {"tenant": "b"}, "case of the value": {"tenant": "A"}, "no pair": {}, "a longer key": {"tenants": "a"}}.items():
    refused("constraint, " + name, "AccessDeniedException", user.generate_data_key, KeyId=key, KeySpec="AES_256", EncryptionContext=wrong, GrantTokens=token)
check("constraint met", bool(user.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext={"tEnAnT": "a", "x": "y"}, GrantTokens=token)))
refused("an operation that was not granted", "AccessDeniedException", user.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext=ec, GrantTokens=token)
check("DescribeKey needs no context", user.describe_key(KeyId=key, GrantTokens=token)["KeyMetadata"]["KeyId"] == key)
same = root.create_grant(KeyId=key, GranteePrincipal=USER, RetiringPrincipal=OTHER, Name="index", Operations=["CreateGrant", "DescribeKey", "GenerateDataKey", "Decrypt"],
                         Constraints={"EncryptionContextSubset": {"TENANT": "a"}})
check("the same name, the same grant", same["GrantId"] == grant["GrantId"] and same["GrantToken"] != grant["GrantToken"])
wider = dict(KeyId=key, GranteePrincipal=OTHER, GrantTokens=token)
refused("sub-grant without constraint", "AccessDeniedException", user.create_grant, Operations=["Decrypt"], **wider)
refused("sub-grant of another tenant", "AccessDeniedException", user.create_grant, Operations=["Decrypt"], Constraints={"EncryptionContextSubset": {"tenant": "b"}}, **wider)
refused("sub-grant of another operation", "AccessDeniedException", user.create_grant, Operations=["Encrypt"], Constraints={"EncryptionContextSubset": {"tenant": "a"}}, **wider)
refused("sub-grant that may retire", "AccessDeniedException", user.create_grant, Operations=["RetireGrant"], Constraints={"EncryptionContextSubset": {"tenant": "a"}}, **wider)
sub = user.create_grant(Operations=["Decrypt"], RetiringPrincipal=OTHER, Constraints={"EncryptionContextEquals": {"tenant": "a", "Purpose": "Pages"}}, **wider)
check("sub-grant that is narrower", other.decrypt(CiphertextBlob=blob, EncryptionContext=ec, GrantTokens=[sub["GrantToken"]])["Plaintext"] == b"secret")
refused("sub-grant, more context", "AccessDeniedException", other.decrypt, CiphertextBlob=blob, EncryptionContext=dict(ec, x="y"), GrantTokens=[sub["GrantToken"]])
check("ListGrants", {g["GrantId"] for g in root.list_grants(KeyId=key)["Grants"]} == {grant["GrantId"], sub["GrantId"]})
check("ListGrants of one grantee", [g["GrantId"] for g in root.list_grants(KeyId=key, GranteePrincipal=OTHER)["Grants"]] == [sub["GrantId"]])
check("ListRetirableGrants", {g["GrantId"] for g in root.list_retirable_grants(RetiringPrincipal=OTHER)["Grants"]} == {grant["GrantId"], sub["GrantId"]})
refused("CreateGrant, dry", "DryRunOperationException", root.create_grant, KeyId=key, GranteePrincipal=USER, Operations=["Decrypt"], DryRun=True)
refused("CreateGrant of nothing", "ValidationException", root.create_grant, KeyId=key, GranteePrincipal=USER, Operations=[])
refused("another's RevokeGrant", "AccessDeniedException", user.revoke_grant, KeyId=key, GrantId=grant["GrantId"])
refused("another's RetireGrant", "AccessDeniedException", user.retire_grant, GrantToken=grant["GrantToken"])
other.retire_grant(GrantToken=sub["GrantToken"])
refused("a retired grant", "AccessDeniedException", other.decrypt, CiphertextBlob=blob, EncryptionContext=ec, GrantTokens=[sub["GrantToken"]])
refused("retired twice", "NotFoundException", other.retire_grant, KeyId=arn, GrantId=sub["GrantId"])
root.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
refused("a revoked grant", "AccessDeniedException", user.decrypt, CiphertextBlob=blob, EncryptionContext=ec, GrantTokens=token)

# states
live = root.create_grant(KeyId=key, GranteePrincipal=USER, Operations=["Decrypt"])["GrantToken"]
root.disable_key(KeyId=key)
refused("a disabled key", "DisabledException", root.decrypt, CiphertextBlob=blob, EncryptionContext=ec)
refused("a disabled key, by grant", "DisabledException", user.decrypt, CiphertextBlob=blob, EncryptionContext=ec, GrantTokens=[live])
refused("a disabled key, dry", "DisabledException", root.encrypt, KeyId=key, Plaintext=b"x", DryRun=True)
root.enable_key(KeyId=key)
check("enabled again", user.decrypt(CiphertextBlob=blob, EncryptionContext=ec, GrantTokens=[live])["Plaintext"] == b"secret")
refused("a window of 6 days", "ValidationException", root.schedule_key_deletion, KeyId=key, PendingWindowInDays=6)
check("ScheduleKeyDeletion", root.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)["KeyState"] == "PendingDeletion")
refused("pending deletion", "KMSInvalidStateException", root.decrypt, CiphertextBlob=blob, EncryptionContext=ec)
refused("pending deletion, EnableKey", "KMSInvalidStateException", root.enable_key, KeyId=key)
root.cancel_key_deletion(KeyId=key)
check("CancelKeyDeletion leaves it disabled", root.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled")
refused("cancelled twice", "KMSInvalidStateException", root.cancel_key_deletion, KeyId=key)
root.enable_key(KeyId=key)
# boto3 signs nothing that tells equal calls of one second apart: its retries do.
root.disable_key(KeyId=key)
root.enable_key(KeyId=key)
check("equal changes within a second", user.decrypt(CiphertextBlob=blob, EncryptionContext=ec, GrantTokens=[live])["Plaintext"] == b"secret")

# rotation
root.enable_key_rotation(KeyId=key, RotationPeriodInDays=180)
status = root.get_key_rotation_status(KeyId=key)
check("EnableKeyRotation", status["KeyRotationEnabled"] and status["RotationPeriodInDays"] == 180 and "NextRotationDate" in status)
refused("a period of 89 days", "ValidationException", loose.enable_key_rotation, KeyId=key, RotationPeriodInDays=89)
root.disable_key_rotation(KeyId=key)
check("DisableKeyRotation", not root.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"])
root.rotate_key_on_demand(KeyId=key)
check("ListKeyRotations", [r["RotationType"] for r in root.list_key_rotations(KeyId=key)["Rotations"]] == ["ON_DEMAND"])
fresh = root.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
old, new = root.decrypt(CiphertextBlob=blob, EncryptionContext=ec), root.decrypt(CiphertextBlob=fresh)
check("old material opens, new is used", old["Plaintext"] == b"secret" and old["KeyMaterialId"] != new["KeyMaterialId"])

# aliases and tags
root.create_alias(AliasName="alias/main", TargetKeyId=key)
refused("CreateAlias twice", "AlreadyExistsException", root.create_alias, AliasName="alias/main", TargetKeyId=second)
refused("not an alias", "InvalidAliasNameException", root.create_alias, AliasName="alias/aws/mine", TargetKeyId=key)
check("by alias", root.encrypt(KeyId="alias/main", Plaintext=b"x")["KeyId"] == arn)
root.update_alias(AliasName="alias/main", TargetKeyId=second)
check("UpdateAlias", root.encrypt(KeyId="alias/main", Plaintext=b"x")["KeyId"] != arn)
check("ListAliases", [a["TargetKeyId"] for a in root.list_aliases()["Aliases"]] == [second])
refused("another's DeleteAlias", "AccessDeniedException", user.delete_alias, AliasName="alias/main")
root.delete_alias(AliasName="alias/main")
refused("an alias that is gone", "NotFoundException", root.encrypt, KeyId="alias/main", Plaintext=b"x")
root.tag_resource(KeyId=key, Tags=[{"TagKey": "stage", "TagValue": "test"}])
root.untag_resource(KeyId=key, TagKeys=["team"])
check("tags", root.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "stage", "TagValue": "test"}])
refused("a reserved tag", "TagException", root.tag_resource, KeyId=key, Tags=[{"TagKey": "aws:x", "TagValue": "y"}])

# key policies
check("GetKeyPolicy", ":root" in root.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
policy = """{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Principal": {"AWS": "%sroot"}, "Action": "kms:*", "Resource": "*"},
  {"Effect": "Allow", "Principal": {"AWS": "%s"}, "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": "*",
   "Condition": {"StringEquals": {"kms:EncryptionContext:tenant": "a"}, "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["tenant", "Purpose"]}}},
  {"Effect": "Deny", "Principal": "*", "Action": "kms:CreateGrant", "Resource": "*",
   "Condition": {"Null": {"kms:GrantConstraintType": "true"}}}]}""" % (ACCOUNT, OTHER)
root.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)
check("policy, context as it should be", other.decrypt(CiphertextBlob=blob, EncryptionContext=ec)["Plaintext"] == b"secret")
refused("policy, another tenant", "AccessDeniedException", other.generate_data_key, KeyId=key, KeySpec="AES_256", EncryptionContext={"tenant": "b"})
refused("policy, no context", "AccessDeniedException", other.generate_data_key, KeyId=key, KeySpec="AES_256")
refused("policy, one pair more", "AccessDeniedException", other.generate_data_key, KeyId=key, KeySpec="AES_256", EncryptionContext={"tenant": "a", "x": "y"})
refused("policy, another principal", "AccessDeniedException", client(1).generate_data_key, KeyId=key, KeySpec="AES_256", EncryptionContext={"tenant": "a"})
refused("policy, a grant without constraint", "AccessDeniedException", root.create_grant, KeyId=key, GranteePrincipal=USER, Operations=["Decrypt"])
check("policy, a grant with one", bool(root.create_grant(KeyId=key, GranteePrincipal=USER, Operations=["Decrypt"], Constraints={"EncryptionContextEquals": {"tenant": "a"}})["GrantId"]))
refused("a policy that locks its author out", "MalformedPolicyDocumentException", root.put_key_policy, KeyId=key, PolicyName="default", Policy=policy.replace(ACCOUNT + "root", OTHER))
refused("a policy that is none", "MalformedPolicyDocumentException", root.put_key_policy, KeyId=key, PolicyName="default", Policy="{}")
refused("another's PutKeyPolicy", "AccessDeniedException", other.put_key_policy, KeyId=key, PolicyName="default", Policy=policy)
refused("what is not here", "ValidationException", root.create_grant, KeyId=key, GranteeServicePrincipal="s3.amazonaws.com", Operations=["Decrypt"])

missing = set("""CreateKey DescribeKey ListKeys Encrypt Decrypt ReEncrypt GenerateDataKey GenerateDataKeyWithoutPlaintext GenerateRandom CreateGrant ListGrants
ListRetirableGrants RetireGrant RevokeGrant EnableKey DisableKey ScheduleKeyDeletion CancelKeyDeletion EnableKeyRotation DisableKeyRotation GetKeyRotationStatus
RotateKeyOnDemand ListKeyRotations CreateAlias UpdateAlias DeleteAlias ListAliases TagResource UntagResource ListResourceTags PutKeyPolicy GetKeyPolicy""".split()) - operations
check("every operation was called", not missing, str(missing or len(operations)))
sys.exit(1 if failed else 0)
