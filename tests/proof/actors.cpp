// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "proof/actors.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include <unistd.h>

#include "support/places.hpp"

namespace proof {

int scaled(int full, int least) {
    const char* given = std::getenv("JOBRT_TEST_SCALE");
    const int percent = given && *given ? std::atoi(given) : 100;
    return std::max(least, full * percent / 100);
}

Folder::Folder(const std::string& base) {
    std::string pattern = (base.empty() ? std::filesystem::current_path().string() : base) + "/proof-XXXXXX";
    if (!mkdtemp(pattern.data())) throw std::runtime_error("cannot make " + pattern);
    path = pattern;
}

Folder::~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
}

ActorProcess::ActorProcess(std::vector<std::string> arguments, std::vector<std::string> environment)
    : arguments_(std::move(arguments)), environment_(std::move(environment)) {
    arguments_.insert(arguments_.begin(), jobruntime::tests::program("proof_actor"));
}

void ActorProcess::start() {
    jobruntime::SpawnOptions options;
    options.argv = arguments_;
    options.env = environment_;
    options.err = jobruntime::Stdio::inherit;
    auto child = jobruntime::Subprocess::spawn(options);
    if (!child) throw std::runtime_error("cannot start an actor: " + child.error().message);
    child_.emplace(*std::move(child));
}

void ActorProcess::kill() {
    if (!child_) return;
    child_->signal_group(SIGKILL);
    (void)child_->wait().has_value();
    child_.reset();
}

void ActorProcess::signal(int number) {
    if (child_) child_->signal_group(number);
}

bool ActorProcess::stop(std::chrono::seconds limit) {
    child_->signal_group(SIGTERM);
    auto status = child_->wait(std::chrono::steady_clock::now() + limit);
    child_.reset();
    return status && status->success();
}

bool ActorProcess::ended() {
    if (!child_) return true;
    if (!child_->wait(std::chrono::steady_clock::now())) return false;
    child_.reset();
    return true;
}

bool eventually(const std::function<bool()>& what, std::chrono::milliseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!what()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
}

}  // namespace proof
