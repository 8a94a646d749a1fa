// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Servers and databases that the store cannot work with: each is refused by a name, and the refusal ends with
// its cause.
#include <cstring>
#include <thread>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;
using mongo::Doc;
using mongo::List;

namespace {

/// What the first verb that needs the database says.
Error refusal(const std::string& uri) {
    auto store = open_store(uri);
    const auto answer = store->count({}, CountBy::nothing);
    REQUIRE(!answer.has_value());
    return answer.error();
}

/// A server that says in its first sentence that it is of long ago.
class OldServer {
public:
    OldServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
        REQUIRE(::listen(listener_, 8) == 0);
        REQUIRE(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
        port = ntohs(address.sin_port);
        thread_ = std::jthread([this](std::stop_token stop) { serve(stop); });
    }
    ~OldServer() {
        thread_.request_stop();
        ::shutdown(listener_, SHUT_RDWR);
        thread_.join();
        ::close(listener_);
    }
    int port = 0;

private:
    void serve(std::stop_token stop) {
        std::vector<std::jthread> talks;
        while (!stop.stop_requested()) {
            const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd < 0) return;
            timeval patience{1, 0};
            ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
            talks.emplace_back([fd] {
                while (answer(fd)) {}
                ::close(fd);
            });
        }
    }

    static bool receive(int fd, void* into, std::size_t size) {
        auto* at = static_cast<char*>(into);
        while (size > 0) {
            const auto got = ::recv(fd, at, size, 0);
            if (got <= 0) return false;
            at += got;
            size -= static_cast<std::size_t>(got);
        }
        return true;
    }

    /// One message, whatever it asks: answered as hello in the form (OP_REPLY) of the oldest servers.
    static bool answer(int fd) {
        std::int32_t header[4];
        if (!receive(fd, header, sizeof header) || header[0] < 16 || header[0] > 1 << 20) return false;
        std::vector<char> body(static_cast<std::size_t>(header[0] - 16));
        if (!receive(fd, body.data(), body.size())) return false;
        Doc hello;
        hello.flag("ismaster", true).integer("maxBsonObjectSize", 16 << 20).integer("minWireVersion", 0);
        hello.integer("maxWireVersion", 2).integer("ok", 1);
        struct {
            std::int32_t length, id, to, code, flags;
            std::int32_t cursor[2], from, count;
        } reply{static_cast<std::int32_t>(36 + hello.size()), 1, header[1], 1, 8, {0, 0}, 0, 1};
        std::vector<char> out(36 + hello.size());
        std::memcpy(out.data(), &reply, 36);
        std::memcpy(out.data() + 36, bson_get_data(hello.raw()), hello.size());
        return ::send(fd, out.data(), out.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(out.size());
    }

    int listener_;
    std::jthread thread_;
};

}  // namespace

TEST_CASE("a database of a newer program is refused and left alone") {
    auto& server = MongoServer::shared();
    const auto database = server.fresh_database();
    Doc schema;
    schema.doc("_id", Doc().text("jobrt", "schema")).number("version", 99);
    server.insert(database, "jobrt_records", schema);
    const auto why = refusal(server.uri(database));
    CHECK(why.code == Errc::unsupported);
    CHECK(why.name == "STORE_TOO_NEW");
    CHECK(why.message.find("99") != std::string::npos);
    CHECK(server.find(database, "jobrt_jobs", Doc()).empty());
}

TEST_CASE("an index in the way is named, and the store works as soon as it is gone") {
    auto& server = MongoServer::shared();
    const auto database = server.fresh_database();
    Doc index, command;
    index.doc("key", Doc().integer("other", 1)).text("name", "jobrt_unique");
    command.text("createIndexes", "jobrt_jobs").list("indexes", List().doc(index).made());
    server.run(database, command);
    auto store = open_store(server.uri(database));
    const auto answer = store->count({}, CountBy::nothing);
    REQUIRE(!answer.has_value());
    CHECK(answer.error().code == Errc::conflict);
    CHECK(answer.error().name == "STORE_INDEX");
    Doc drop;
    drop.text("dropIndexes", "jobrt_jobs").text("index", "jobrt_unique");
    server.run(database, drop);
    CHECK(must(store->count({}, CountBy::nothing)).front().count == 0);
}

TEST_CASE("wrong credentials and missing rights are told apart, and no secret is said") {
    auto server = MongoServer::own();
    if (!server) {
        MESSAGE("left out: a real server is given, whose users are not the test's to make");
        return;
    }
    const auto user = [&](std::string_view name, std::string_view password, std::string_view role) {
        Doc command;
        command.text("createUser", name).text("pwd", password).list("roles", List().text(role).made());
        server->run("app", command);
    };
    user("reader", "s3cret-1", "read");
    user("writer", "s3cret-2", "readWrite");
    server->kill();
    server->start({"--auth"});
    const auto uri = [&](const std::string& who) {
        return "mongodb://" + who + "127.0.0.1:" + std::to_string(server->port()) + "/app";
    };
    auto why = refusal(uri("writer:s3cret-wrong@"));
    CHECK(why.code == Errc::invalid_argument);
    CHECK(why.name == "STORE_CREDENTIALS");
    CHECK(why.message.find("s3cret") == std::string::npos);
    why = refusal(uri(""));
    CHECK(why.name == "STORE_RIGHTS");
    why = refusal(uri("reader:s3cret-1@"));
    CHECK(why.code == Errc::invalid_argument);
    CHECK(why.name == "STORE_RIGHTS");
    CHECK(why.message.find("app") != std::string::npos);
    CHECK(why.message.find("s3cret") == std::string::npos);
    auto store = open_store(uri("writer:s3cret-2@"));
    CHECK(must(store->count({}, CountBy::nothing)).front().count == 0);
}

TEST_CASE("a server that speaks too old a protocol is refused by name") {
    OldServer server;
    const auto why = refusal("mongodb://127.0.0.1:" + std::to_string(server.port) + "/app");
    CHECK(why.code == Errc::unsupported);
    CHECK(why.name == "SERVER_TOO_OLD");
    CHECK(why.message.find("4.2") != std::string::npos);
}

TEST_CASE("after fork() the child's store says so, and the parent's goes on") {
    auto& server = MongoServer::shared();
    auto store = open_store(server.uri(server.fresh_database()));
    must(store->count({}, CountBy::nothing));
    const pid_t child = ::fork();
    if (child == 0) {
        const auto answer = store->count({}, CountBy::nothing);
        const bool refused = !answer && answer.error().code == Errc::invalid_argument;
        store.reset();
        ::_exit(refused ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    must(store->count({}, CountBy::nothing));
}
