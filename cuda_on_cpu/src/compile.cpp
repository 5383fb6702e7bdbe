// Compiles a program's translation with g++.
#include <cstdlib>
#include <dlfcn.h>
#include <fcntl.h>
#include <fstream>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

#include "nvrtc.h"

extern char **environ;

namespace cuda_on_cpu {

std::string read_file(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}
static void write_file(const std::string &path, const std::string &text) {
  std::ofstream(path, std::ios::binary) << text;
}

const std::string &root() {
  static const std::string folder = [] {
    Dl_info info;
    dladdr((void *)&read_file, &info);
    std::string path = info.dli_fname;
    for (int i = 0; i < 2; ++i) path = path.substr(0, path.rfind('/'));
    return path;
  }();
  return folder;
}

// The status of a command, whose errors go to the file `log`.
static int run(std::vector<std::string> words, const std::string &log) {
  std::vector<char *> arguments;
  for (auto &word : words) arguments.push_back(&word[0]);
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t process;
  int status = -1;
  if (!posix_spawnp(&process, arguments[0], &actions, nullptr, arguments.data(), environ)) waitpid(process, &status, 0);
  posix_spawn_file_actions_destroy(&actions);
  return status;
}

static Command parse(const std::vector<std::string> &options) {
  Command command;
  for (size_t i = 0; i < options.size(); ++i) {
    const std::string &option = options[i];
    if (option.rfind("-D", 0) == 0) {
      std::string define = option.substr(2);
      if (define.empty() && i + 1 < options.size()) define = options[++i];
      const size_t equals = define.find('=');
      if (define == "CUPY_JIT_MODE") command.compiled_header = false;  // the header reads it
      command.defines += "#define " + define.substr(0, equals) + " " +
                         (equals == std::string::npos ? "1" : define.substr(equals + 1)) + "\n";
    } else if (option.rfind("--std=", 0) == 0 || option.rfind("-std=", 0) == 0)
      command.standard = "-std=" + option.substr(option.find('=') + 1);
    else if (option.rfind("-I", 0) == 0 && option.find("/_cccl/") == std::string::npos)
      command.includes.push_back(option);
  }
  if (command.standard < "-std=c++17" || command.standard == "-std=c++98") command.standard = "-std=c++17";
  if (command.standard != "-std=c++17") command.compiled_header = false;
  return command;
}

// Into the folder CUDA_ON_CPU_KEEP, to look at.
static void keep(const std::string &folder, const std::vector<std::string> &words, const std::string &translation,
                 const Program &program, bool failed) {
  static int count;
  std::string line = "//";
  for (const auto &word : words) line += " " + word;
  write_file(
      folder + "/" + std::to_string(getpid()) + "-" + std::to_string(count++) + (failed ? "-failed" : "") + ".cpp",
      line + "\n" + translation + (failed ? "\n/*\n" + program.log + "*/\n" : ""));
}

int compile(Program &program, const std::vector<std::string> &options) {
  const Command command = parse(options);
  const std::string translation = translate(program, command);
  std::string folder = std::string(getenv("TMPDIR") ?: "/tmp") + "/cuda_on_cpu-XXXXXX";
  if (!mkdtemp(&folder[0])) return COMPILATION;
  const std::string source = folder + "/kernel.cpp", image = folder + "/kernel.so", log = folder + "/log";
  std::vector<std::string> files = {source, image, log};
  write_file(source, translation);
  for (const auto &[name, text] : program.headers)
    if (name.find('/') == std::string::npos) {
      files.push_back(folder + "/" + name);
      write_file(files.back(), text);
    }
  // As in build.py: a header compiled beforehand is taken only where these are the same.
  std::vector<std::string> words = {"g++",
                                    "-shared",
                                    "-fPIC",
                                    "-O1",
                                    "-w",
                                    "-ffp-contract=off",
                                    "-fno-strict-aliasing",
                                    "-fwhole-program",
                                    "-fno-threadsafe-statics",
                                    "-fmax-errors=5",
                                    command.standard,
                                    "-I" + root() + "/include/stand-ins"};
  words.insert(words.end(), command.includes.begin(), command.includes.end());
  words.push_back("-I" + root() + (command.compiled_header ? "/lib/header" : "/include"));
  words.insert(words.end(), {"-I" + root() + "/include", source, "-o", image});
  const bool failed = run(words, log);
  program.log += read_file(log);
  if (!failed) program.image = read_file(image);
  if (const char *kept = getenv("CUDA_ON_CPU_KEEP"); kept && *kept) keep(kept, words, translation, program, failed);
  for (const auto &file : files) unlink(file.c_str());
  rmdir(folder.c_str());
  return failed ? COMPILATION : NVRTC_SUCCESS;
}
}  // namespace cuda_on_cpu
