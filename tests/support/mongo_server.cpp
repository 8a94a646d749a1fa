// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "support/mongo_server.hpp"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mongo/driver.hpp"
#include "support/own_port.hpp"

namespace jobruntime::tests {

using namespace std::chrono_literals;

namespace {

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

using Client = mongo::CHandle<mongoc_client_t, mongoc_client_destroy>;

Client connect(const std::string& uri) {
    mongo::start_driver(true);
    Client client(mongoc_client_new(uri.c_str()));
    if (!client) throw std::runtime_error("no client for the test's MongoDB URI");
    mongoc_client_set_error_api(client.get(), MONGOC_ERROR_API_VERSION_2);
    return client;
}

}  // namespace

MongoServer& MongoServer::shared() {
    static MongoServer server;
    static bool ready = false;
    if (ready) return server;
    const auto given = environment("JOBRT_TEST_MONGODB_URI");
    if (!given.empty()) {
        const auto query = given.find('?');
        server.base_ = given.substr(0, query);
        if (query != given.npos) server.options_ = given.substr(query);
        const auto path = server.base_.find('/', server.base_.find("://") + 3);
        if (path != server.base_.npos) server.base_.erase(path);
    } else {
        server.program_ = environment("JOBRT_STANDIN");
        if (server.program_.empty() || ::access(server.program_.c_str(), X_OK) != 0) {
            std::puts(
                "skipped: no MongoDB; set JOBRT_TEST_MONGODB_URI to a server's URI, or JOBRT_STANDIN to what "
                "tools/standin prints");
            std::fflush(stdout);
            std::_Exit(77);
        }
        server.start();
    }
    ready = true;
    return server;
}

std::unique_ptr<MongoServer> MongoServer::own(const std::vector<std::string>& arguments,
                                              const std::string& options) {
    if (!environment("JOBRT_TEST_MONGODB_URI").empty() && environment("JOBRT_STANDIN").empty())
        return nullptr;
    if (environment("JOBRT_STANDIN").empty()) shared();  // Says why not.
    std::unique_ptr<MongoServer> server(new MongoServer);
    server->program_ = environment("JOBRT_STANDIN");
    if (!options.empty()) server->options_ = "?" + options;
    server->start(arguments);
    return server;
}

MongoServer::~MongoServer() {
    for (const auto& database : databases_) {
        if (!program_.empty()) break;  // Its whole folder goes.
        drop(database);
    }
    kill();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
}

void MongoServer::start(const std::vector<std::string>& arguments) {
    if (folder_.empty()) {
        auto name = (std::filesystem::temp_directory_path() / "jobrt-standin-XXXXXX").string();
        if (!::mkdtemp(name.data())) throw std::runtime_error("no folder for the stand-in");
        folder_ = name;
        port_ = own_port();
        base_ = "mongodb://127.0.0.1:" + std::to_string(port_);
        std::ofstream(folder_ + "/empty.toml").flush();
    }
    std::vector<std::string> words{program_,
                                   "--host",
                                   "127.0.0.1",
                                   "--port",
                                   std::to_string(port_),
                                   "--storage-path",
                                   folder_ + "/data",
                                   "--config",
                                   folder_ + "/empty.toml",
                                   "--sync-on-commit"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const auto log = folder_ + "/server.log";
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(1);
        const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
        ::dup2(out, 1);
        ::dup2(out, 2);
        ::execv(argv[0], argv.data());
        ::_exit(127);
    }
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (std::chrono::steady_clock::now() < end) {
        const auto client = connect(base_ + "/" + (options_.empty() ? "?" : options_ + "&") +
                                    "serverSelectionTimeoutMS=500&serverSelectionTryOnce=true");
        mongo::Doc ping;
        ping.integer("ping", 1);
        bson_error_t why;
        if (mongoc_client_command_simple(client.get(), "admin", ping.raw(), nullptr, nullptr, &why)) return;
        if (why.domain == MONGOC_ERROR_SERVER) return;  // A refusal is an answer too.
        if (::waitpid(pid_, nullptr, WNOHANG) == pid_) break;
        std::this_thread::sleep_for(50ms);
    }
    std::ifstream said(log);
    throw std::runtime_error("the stand-in did not start: " +
                             std::string(std::istreambuf_iterator<char>(said), {}));
}

void MongoServer::kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
}

void MongoServer::freeze(bool frozen) {
    if (pid_ > 0) ::kill(pid_, frozen ? SIGSTOP : SIGCONT);
}

std::string MongoServer::uri(const std::string& database) const { return base_ + "/" + database + options_; }

std::string MongoServer::fresh_database() {
    databases_.push_back("jobrt_test_" + std::to_string(::getpid()) + "_" + std::to_string(++made_));
    return databases_.back();
}

mongo::Doc MongoServer::run(const std::string& database, const mongo::Doc& command) const {
    const auto client = connect(uri(database));
    bson_t reply;
    bson_error_t why;
    const bool done =
        mongoc_client_command_simple(client.get(), database.c_str(), command.raw(), nullptr, &reply, &why);
    mongo::Doc answer(&reply);
    bson_destroy(&reply);
    if (!done) throw std::runtime_error(std::string("a command of the test failed: ") + why.message);
    return answer;
}

std::vector<mongo::Doc> MongoServer::find(const std::string& database, const std::string& collection,
                                          const mongo::Doc& filter) const {
    const auto client = connect(uri(database));
    const mongo::CollectionHandle handle(
        mongoc_client_get_collection(client.get(), database.c_str(), collection.c_str()));
    const mongo::Cursor cursor(
        mongoc_collection_find_with_opts(handle.get(), filter.raw(), nullptr, nullptr));
    std::vector<mongo::Doc> found;
    const bson_t* doc = nullptr;
    while (mongoc_cursor_next(cursor.get(), &doc)) found.emplace_back(doc);
    return found;
}

void MongoServer::insert(const std::string& database, const std::string& collection,
                         const mongo::Doc& doc) const {
    mongo::Doc command;
    command.text("insert", collection).list("documents", mongo::List().doc(doc).made());
    run(database, command);
}

void MongoServer::drop(const std::string& database) const {
    mongo::Doc command;
    command.integer("dropDatabase", 1);
    run(database, command);
}

void say_fewer(const MongoServer& server, int here, std::string_view of_what, int instead_of) {
    if (server.port() == 0) return;
    std::printf("counts: %d %.*s here instead of %d: MongoDB's stand-in SecantusDB does some tens of jobs a second\n", here,
                static_cast<int>(of_what.size()), of_what.data(), instead_of);
    std::fflush(stdout);
}

}  // namespace jobruntime::tests
