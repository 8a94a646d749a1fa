// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// write_api_document FILE: makes the parts of docs/api.md anew that come from the table of routes.
#include <cstdio>
#include <fstream>
#include <sstream>

#include "api_document.hpp"

int main(int count, char** arguments) {
    if (count != 2) {
        std::fprintf(stderr, "usage: write_api_document FILE\n");
        return 2;
    }
    std::ostringstream old;
    old << std::ifstream(arguments[1]).rdbuf();
    const api_document::Table table;
    std::ofstream file(arguments[1]);
    file << api_document::refreshed(*table.router, old.str());
    return file.good() ? 0 : 1;
}
