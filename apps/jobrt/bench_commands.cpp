// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <thread>

#include <unistd.h>

#include <jobruntime/subprocess.hpp>

#include "bench.hpp"
#include "commands.hpp"
#include "signals.hpp"
#include "stores.hpp"

namespace jobruntime::jobrt {
namespace {

void print_figure(BenchFigure figure, std::string_view workload, const std::string& setting,
                  const std::string& server) {
    auto rounded = [](double value) { return static_cast<double>(static_cast<long long>(value * 1000 + 0.5)) / 1000; };
    auto or_null = [&](const std::optional<double>& value) {
        return value ? boost::json::value(rounded(*value)) : boost::json::value(nullptr);
    };
    boost::json::object line{{"workload", workload}, {"value", rounded(figure.value)}, {"unit", figure.unit},
                             {"p50_ms", or_null(figure.p50_ms)}, {"p99_ms", or_null(figure.p99_ms)}, {"n", figure.n},
                             {"rss_mb", rounded(resident_mb())}, {"setting", setting}};
    if (!server.empty()) line["server"] = server;
    print_json(line);
}

/// One workload in one way, in a folder of its own that is gone afterwards.
bool run_one(const Invocation& in, const BenchWorkload& workload, Result<BenchFigure> (*body)(const BenchPlan&),
             std::string prefix, BenchPlan plan) {
    if (!body) return true;
    namespace fs = std::filesystem;
    plan.folder += "/" + prefix + std::string(workload.name);
    std::error_code code;
    fs::create_directories(plan.folder, code);
    auto figure = code ? Result<BenchFigure>(Error{Errc::unavailable, "cannot make " + plan.folder}) : body(plan);
    fs::remove_all(plan.folder, code);
    if (!figure) {
        fail(in, {figure.error().code, figure.error().name, std::string(workload.name) + ": " + figure.error().message});
        return false;
    }
    // The bare table is the same limit for everybody, so its name says only when it is not synced.
    const auto setting = prefix == "minimal-" && plan.full ? "minimal" : prefix + (plan.full ? "full" : "normal");
    print_figure(*std::move(figure), workload.name, setting, plan.server);
    return true;
}

/// The measuring itself, in `folder`.
int measure(const Invocation& in) {
    const auto percent = in.number("scale", 1, 1000);
    if (!percent) return host::exit_usage;
    const auto& only = in.all("workload");
    const auto& workloads = bench_workloads();
    for (const auto& name : only) {
        if (std::any_of(workloads.begin(), workloads.end(), [&](const auto& known) { return known.name == name; })) continue;
        std::cerr << "--workload is one of:";
        for (const auto& known : workloads) std::cerr << " " << known.name;
        std::cerr << "\n";
        return host::exit_usage;
    }
    BenchPlan plan;
    plan.folder = in.text("inside");
    plan.number = plan.folder.substr(plan.folder.rfind('.') + 1);
    plan.scale = static_cast<double>(*percent) / 100;
    plan.program = std::filesystem::read_symlink("/proc/self/exe").string();
    if (in.has("store")) {
        plan.mongo = in.text("store");
        auto tried = host::is_mongo(plan.mongo) ? with_database(plan.mongo, "d")
                                                : Result<std::string>(Error{Errc::invalid_argument, "it is no MongoDB URI"});
        if (!tried) {
            std::cerr << "--store: " << tried.error().message << "\n";
            return host::exit_usage;
        }
        auto server = server_name(plan.mongo);
        if (!server) return fail(in, server.error());
        plan.server = *std::move(server);
    }
    bool well = true;
    for (const auto& workload : workloads) {
        if (!only.empty() && std::find(only.begin(), only.end(), workload.name) == only.end()) continue;
        for (const bool full : {true, false}) {
            if (!full && (!in.has("normal") || !plan.mongo.empty())) continue;
            plan.full = full;
            well = run_one(in, workload, workload.run, plan.mongo.empty() ? "" : "mongodb-", plan) && well;
            if (!in.has("raw") || !plan.mongo.empty()) continue;
            well = run_one(in, workload, workload.raw, "raw-", plan) && well;
            well = run_one(in, workload, workload.minimal, "minimal-", plan) && well;
        }
    }
    return well ? host::exit_ok : host::exit_failed;
}

/// The command line of this command once more, to be measured in `folder`.
std::vector<std::string> measuring(const Invocation& in, const std::string& folder) {
    std::vector<std::string> argv{std::filesystem::read_symlink("/proc/self/exe").string(), "bench"};
    for (const auto& [name, values] : in.arguments) {
        if (values.empty()) argv.push_back("--" + name);
        for (const auto& value : values) argv.insert(argv.end(), {"--" + name, value});
    }
    argv.insert(argv.end(), {"--inside", folder});
    return argv;
}

/// Nothing is left of it; what was just killed may write for a moment yet.
void remove_folder(const std::string& folder) {
    std::error_code code;
    for (int i = 0; i < 100; ++i) {
        std::filesystem::remove_all(folder, code);
        if (!std::filesystem::exists(folder, code)) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

/// Measures in a process of its own, so that a signal ends it in the middle of anything and the files can go.
int bench(const Invocation& in) {
    if (in.has("enqueuer")) {
        const auto jobs = in.number("jobs", 1, 1'000'000);
        return jobs ? bench_enqueuer(in.text("enqueuer"), static_cast<int>(*jobs)) : host::exit_usage;
    }
    if (in.has("inside")) return measure(in);
    const auto folder =
        std::filesystem::absolute(in.text("dir")).string() + "/jobrt-bench." + std::to_string(getpid());
    SpawnOptions options;
    options.argv = measuring(in, folder);
    for (char** entry = environ; *entry != nullptr; ++entry) options.env.emplace_back(*entry);
    options.out = Stdio::inherit;
    options.err = Stdio::inherit;
    host::SignalWaiter signals(true);
    auto child = Subprocess::spawn(options);
    if (!child) return fail(in, child.error());
    Result<ExitStatus> ended = ExitStatus{};
    const auto how = signals.run([&] { ended = child->wait(); }, [&] { child->signal_group(SIGKILL); });
    remove_folder(folder);
    if (how == host::Ended::second_signal) return host::exit_second_signal;
    if (!ended) return fail(in, ended.error());
    if (ended->signal != 0)
        return fail(in, {Errc::internal, "BENCH_FAILED", "the measuring process was " + to_string(*ended)});
    return ended->code;
}

}  // namespace

std::vector<Command> bench_commands() {
    return {{"bench", "Measures a store and the worker on this machine; one JSON line a workload.",
             {{"--workload NAME", "Only this one."},
              {"--raw", "Also run the same rows by bare statements, on our schema and on a minimal one."},
              {"--normal", "Also with acknowledged = survives a killed process, not a power cut."},
              {"--store URI", "A MongoDB server instead of SQLite; each workload makes a database jobrt_bench_… there, for you to drop."},
              {"--scale PERCENT", "Of the usual counts.", "100"},
              {"--dir DIR", "Where the files go; the disk that is measured.", "."},
              {"--json", "Print errors as JSON, too; the figures always are."},
              {"--inside DIR", "The process that measures, and where.", "", true},
              {"--enqueuer FILE", "The second process of W4_pickup_xproc.", "", true},
              {"--jobs N", "How many that one enqueues.", "1000", true}},
             {"jobrt bench", "jobrt bench --raw --workload W1_bulk1000", "jobrt bench --store mongodb://127.0.0.1:27017/ --scale 2"}, bench, true}};
}

}  // namespace jobruntime::jobrt
