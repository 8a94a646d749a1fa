// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <filesystem>
#include <fstream>
#include <iostream>

#include <jobruntime/memory.hpp>

#include "stores.hpp"
#include "x_dl_import.hpp"
#include "x_dl_mongo.hpp"

namespace jobruntime::jobrt {
namespace {

Result<std::vector<boost::json::object>> documents_of(const Invocation& in) {
    const auto path = in.text("file");
    auto uri = in.text("from");
    if (!path.empty() && !uri.empty())
        return Error{Errc::invalid_argument, "INVALID_ARGUMENT",
                     "--file and --from are two sources; give one of them"};
    if (!path.empty()) {
        std::ifstream file(path, std::ios::binary);
        if (!file) return Error{Errc::not_found, "IMPORT_UNREADABLE", "cannot read " + path};
        auto documents = host::read_export(file);
        if (!documents)
            return Error{documents.error().code, documents.error().name,
                         path + ": " + documents.error().message};
        return documents;
    }
    if (uri.empty()) uri = in.settings.text("mongodb-uri");
    if (uri.empty() && host::is_mongo(in.config.store)) uri = in.config.store;
    if (uri.empty())
        return Error{
            Errc::invalid_argument, "INVALID_ARGUMENT",
            "name the old application's database with --from mongodb://…, or a mongoexport file with --file"};
    return read_old_database(uri);
}

void print_report(const Invocation& in, const host::ImportReport& report, bool dry) {
    if (in.has("json")) {
        print_json({{"ok", true},
                    {"dryRun", dry},
                    {"documents", report.documents},
                    {"completed", report.completed},
                    {"failed", report.failed},
                    {"canceled", report.canceled},
                    {"known", report.known},
                    {"duplicates", report.duplicates},
                    {"resubmitted", report.resubmitted},
                    {"unfinished", report.unfinished},
                    {"unreadable", report.unreadable},
                    {"files", report.files},
                    {"missingFiles", report.missing_files},
                    {"otherTimes", report.other_times}});
        return;
    }
    std::cout << (dry ? "would take over: " : "taken over: ") << report.completed << " completed, "
              << report.failed << " failed, " << report.canceled << " canceled; " << report.files
              << " files\n"
              << "of " << report.documents << " documents: " << report.known
              << " known from an earlier import, " << report.duplicates
              << " about a post that is here already, " << report.unfinished << " unfinished and left out, "
              << report.unreadable << " unreadable and left out\n";
    if (report.resubmitted > 0)
        std::cout << (dry ? "would queue anew: " : "queued anew: ") << report.resubmitted << "\n";
    if (report.missing_files > 0) std::cout << "files missing: " << report.missing_files << "\n";
    if (report.other_times > 0)
        std::cout << "with a time from elsewhere, because their own cannot be read: " << report.other_times << "\n";
}

/// A mistake in the command line is a usage error, whatever else could go wrong with a source.
int refuse(const Invocation& in, const Error& error) {
    fail(in, error);
    return error.name == "INVALID_ARGUMENT" || error.name == "INVALID_STORE" ? host::exit_usage : host::exit_failed;
}

int import_x_dl(const Invocation& in) {
    host::ImportOptions options;
    options.download_dir = in.config.download_dir;
    options.downloads = in.text("downloads");
    std::error_code code;
    // First of all: with a wrong folder every file would be missing.
    if (in.has("downloads") && !std::filesystem::is_directory(options.downloads, code))
        return refuse(in, {Errc::invalid_argument, "INVALID_ARGUMENT",
                           "--downloads \"" + options.downloads + "\" is no folder that can be read"});
    if (options.downloads.empty()) options.downloads = in.config.download_dir;
    auto documents = documents_of(in);
    if (!documents) return refuse(in, documents.error());
    options.dry_run = in.has("dry-run");
    options.resubmit = in.has("resubmit");
    options.say = [&in](const std::string& line) {
        (in.has("json") ? std::cerr : std::cout) << line << "\n";
    };
    // A dry run makes nothing, not even the store.
    const bool none = options.dry_run && !host::is_mongo(in.config.store) &&
                      !std::filesystem::exists(in.config.store.substr(7));
    auto store = none ? memory::open() : any_store(in);
    if (!store) return host::exit_failed;
    auto report = host::import_old_jobs(*store, system_clock(), *documents, options);
    if (!report) return fail(in, report.error());
    print_report(in, *report, options.dry_run);
    return host::exit_ok;
}

}  // namespace

std::vector<Command> import_commands() {
    return {
        {"import x-dl", "Takes over the jobs and files of the Node application x-dl; run again, it changes nothing twice.",
         {{"--from URI", "Its MongoDB; unset is MONGODB_URI. Its database is only read."},
          {"--file FILE", "A mongoexport of its collection jobs instead."},
          {"--downloads DIR", "Where its files lie; unset is the download folder."},
          {"--dry-run", "Say what would happen and change nothing."},
          {"--resubmit", "Queue what it had not finished, or what had failed, anew."},
          {"--json", "Print the summary as JSON."}},
         {"jobrt import x-dl --dry-run --downloads /srv/x-dl/downloads",
          "jobrt import x-dl --file jobs.json --downloads /srv/x-dl/downloads --resubmit"},
         import_x_dl}};
}

}  // namespace jobruntime::jobrt
