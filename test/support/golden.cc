// SPDX-License-Identifier: BSD-3-Clause

#include "support/golden.h"

#include <fstream>
#include <sstream>

namespace vduse::test {

std::vector<uint8_t> golden(const std::string& name) {
    std::ifstream file(std::string(VDUSE_GOLDEN "/") + name);  // defined in meson.build
    std::vector<uint8_t> bytes;
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line.substr(0, line.find('#')));
        for (std::string word; words >> word;) {
            if (word[0] == '@')
                bytes.resize(std::stoul(word.substr(1), nullptr, 16));
            else
                bytes.push_back(static_cast<uint8_t>(std::stoul(word, nullptr, 16)));
        }
    }
    return bytes;
}

}  // namespace vduse::test
