#include "agentd/provisioners/local/certificates.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

constexpr int kCaBits = 4096;
constexpr int kServerBits = 2048;
constexpr long kDay = 24L * 3600;
constexpr long kCaLife = 3650 * kDay;
constexpr long kServerLife = 365 * kDay;
constexpr long kRenewBefore = 30 * kDay;

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const { Free(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509, X509_free>>;
struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using Bio = std::unique_ptr<BIO, BioDeleter>;

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

/// PKCS#1, as upstream writes it.
std::string KeyText(EVP_PKEY* key) {
  Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey_traditional(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return TextOf(bio.get());
}

std::string CertificateText(X509* certificate) {
  Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return TextOf(bio.get());
}

/// A certificate for `key`, signed by `issuer_key`. Without an issuer it signs itself.
Certificate MakeCertificate(EVP_PKEY* key, const std::string& name, long life, X509* issuer, EVP_PKEY* issuer_key,
                            const std::vector<std::pair<int, std::string>>& extensions) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);  // version 3
  std::uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial));
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kDay);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), life);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(certificate.get(), issuer == nullptr ? subject : X509_get_subject_name(issuer));
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer == nullptr ? certificate.get() : issuer, certificate.get(), nullptr, nullptr, 0);
  for (const auto& [nid, value] : extensions) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    if (extension == nullptr || X509_add_ext(certificate.get(), extension, -1) != 1) {
      X509_EXTENSION_free(extension);
      return nullptr;
    }
    X509_EXTENSION_free(extension);
  }
  return X509_sign(certificate.get(), issuer_key, EVP_sha256()) > 0 ? std::move(certificate) : nullptr;
}

bool StillGood(const std::string& directory) {
  for (const char* name : {"ca.crt", "pgbackrest.crt"}) {
    absl::StatusOr<std::string> text = ReadFile(JoinPath(directory, name));
    if (!text.ok()) {
      return false;
    }
    Bio bio(BIO_new_mem_buf(text->data(), static_cast<int>(text->size())));
    Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    time_t limit = absl::ToTimeT(absl::Now()) + kRenewBefore;
    if (certificate == nullptr || X509_cmp_time(X509_get0_notAfter(certificate.get()), &limit) <= 0) {
      return false;
    }
  }
  return Exists(JoinPath(directory, "ca.key")) && Exists(JoinPath(directory, "pgbackrest.key"));
}

}  // namespace

absl::Status EnsureCertificates(const std::string& directory) {
  if (StillGood(directory)) {
    return absl::OkStatus();
  }
  Key ca_key(EVP_RSA_gen(kCaBits)), key(EVP_RSA_gen(kServerBits));
  if (ca_key == nullptr || key == nullptr) {
    return absl::InternalError("make pgBackRest's keys: the cryptographic library refuses");
  }
  Certificate ca = MakeCertificate(ca_key.get(), "Multigres Root CA", kCaLife, nullptr, ca_key.get(),
                                   {{NID_basic_constraints, "critical,CA:TRUE"},
                                    {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                    {NID_subject_key_identifier, "hash"}});
  Certificate server =
      ca == nullptr ? nullptr
                    : MakeCertificate(key.get(), "pgbackrest", kServerLife, ca.get(), ca_key.get(),
                                      {{NID_basic_constraints, "critical,CA:FALSE"},
                                       {NID_key_usage, "critical,digitalSignature,keyEncipherment"},
                                       {NID_ext_key_usage, "serverAuth,clientAuth"},
                                       {NID_subject_key_identifier, "hash"},
                                       {NID_authority_key_identifier, "keyid:always"},
                                       {NID_subject_alt_name, "DNS:localhost,DNS:pgbackrest,IP:127.0.0.1,IP:::1"}});
  if (server == nullptr) {
    return absl::InternalError("make pgBackRest's certificates: the cryptographic library refuses");
  }
  MG_RETURN_IF_ERROR(MakeDirectories(directory, 0755));
  MG_RETURN_IF_ERROR(WriteFileAtomically(JoinPath(directory, "ca.key"), KeyText(ca_key.get()), 0600));
  MG_RETURN_IF_ERROR(WriteFileAtomically(JoinPath(directory, "ca.crt"), CertificateText(ca.get()), 0644));
  MG_RETURN_IF_ERROR(WriteFileAtomically(JoinPath(directory, "pgbackrest.key"), KeyText(key.get()), 0600));
  return WriteFileAtomically(JoinPath(directory, "pgbackrest.crt"), CertificateText(server.get()), 0644);
}

}  // namespace mg::local
