// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// URIs that say more than a host: a server that encrypts, and one that belongs to a replica set.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;
using namespace std::chrono_literals;

namespace {

/// Certificates for the time of a test: an authority, a server's signed by it, and an authority of strangers.
class Certificates {
public:
    Certificates() {
        auto name = (std::filesystem::temp_directory_path() / "jobrt-certificates-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        folder_ = name;
        std::ofstream(folder_ + "/names") << "subjectAltName=IP:127.0.0.1\n";
        made = authority("ours") && authority("strangers") &&
               openssl("req -newkey " + key_ + " -keyout server.key -out server.csr -subj /CN=127.0.0.1") &&
               openssl("x509 -req -in server.csr -CA ours.pem -CAkey ours.key -CAcreateserial -days 2 "
                       "-extfile names -out server.pem");
    }
    Certificates(const Certificates&) = delete;
    ~Certificates() { std::filesystem::remove_all(folder_); }
    std::string path(const std::string& file) const { return folder_ + "/" + file; }
    bool made = false;

private:
    bool authority(const std::string& name) const {
        return openssl("req -x509 -newkey " + key_ + " -keyout " + name + ".key -out " + name +
                       ".pem -subj /CN=" + name + " -days 2");
    }
    bool openssl(const std::string& words) const {
        return std::system(("cd '" + folder_ + "' && openssl " + words + " >/dev/null 2>&1").c_str()) == 0;
    }

    const std::string key_ = "ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    std::string folder_;
};

mongo::Options impatient() {
    mongo::Options options;
    options.server_selection = 1s;
    options.change_streams = false;
    return options;
}

Error failure(const std::string& uri) {
    const auto answer = open_store(uri, impatient())->count({}, CountBy::nothing);
    REQUIRE(!answer.has_value());
    CAPTURE(answer.error().message);
    CHECK(answer.error().code == Errc::unavailable);
    CHECK(answer.error().message.find("127.0.0.1") != std::string::npos);
    CHECK(answer.error().message.find("s3cret") == std::string::npos);
    return answer.error();
}

void works(const std::string& uri) {
    auto store = open_store(uri);
    const auto now = system_clock().wall();
    const auto job = add(*store, now);
    CHECK(must(claim(*store, begin(*store, now), now)).jobs.at(0).id == job);
}

}  // namespace

TEST_CASE("a server that encrypts is reached with its authority's certificate, and not with another's") {
    const Certificates certificates;
    if (!certificates.made) {
        MESSAGE("skipped: openssl, which makes the certificates, is not installed");
        return;
    }
    const auto tls = [&](const std::string& authority) {
        return "tls=true&tlsCAFile=" + certificates.path(authority);
    };
    const std::vector<std::string> encrypted{"--tls-cert-file", certificates.path("server.pem"),
                                             "--tls-key-file", certificates.path("server.key")};
    const auto server = MongoServer::own(encrypted, tls("ours.pem"));
    if (!server) {
        MESSAGE("skipped: a real server is given, whose certificate is not the test's to make");
        return;
    }
    const auto port = std::to_string(server->port());
    works("mongodb://127.0.0.1:" + port + "/app?" + tls("ours.pem"));
    const auto stranger = failure("mongodb://ada:s3cret@127.0.0.1:" + port + "/app?" + tls("strangers.pem"));
    CHECK(stranger.message.find("certificate") != std::string::npos);
    // Signed by the right one, for another name.
    CHECK(!open_store("mongodb://localhost:" + port + "/app?" + tls("ours.pem"), impatient())
               ->count({}, CountBy::nothing)
               .has_value());
    failure("mongodb://ada:s3cret@127.0.0.1:" + port + "/app");
}

TEST_CASE("the replica set that a URI names must be the server's") {
    const auto server = MongoServer::own();
    if (!server) {
        MESSAGE("skipped: a real server is given, whose set is not known");
        return;
    }
    works(server->uri("app") + "?replicaSet=secantus");  // The stand-in's own.
    const auto why = failure(server->uri("app") + "?replicaSet=another");
    CHECK(why.message.find("replica set another") != std::string::npos);
}
