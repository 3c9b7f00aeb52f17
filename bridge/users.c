/* bridge/users.c - the subcommands of users.h. What is printed on standard output is the result; everything else goes to
 * standard error. */
#include "bridge/users.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "bridge/credential.h"
#include "bridge/password.h"
#include "runtime/crypto.h"
#include "runtime/file.h"

#define EXIT_OK 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_NOT_FOUND 3

/* What stands on the command line after noun and verb. */
struct words {
    const char *names[2]; /* in order; NULL = not given */
    size_t name_count;
    const char *password_file, *secret_file, *token_name, *heir;
    bool is_admin;
};

static int usage(void)
{
    fputs("usage: shutport-bridge --config FILE COMMAND\n"
          "  user add NAME [--admin] [--password-file FILE]\n"
          "  user passwd NAME [--password-file FILE]\n"
          "  user list\n"
          "  user rm NAME [--devices-to NAME]\n"
          "  token add USER [--name NAME]\n"
          "  token list USER\n"
          "  token rm USER ID\n"
          "  grant add USER DEVICE\n"
          "  grant rm USER DEVICE\n"
          "  bridge add NAME [--secret-file FILE]\n"
          "  bridge rm NAME\n"
          "  monitor add NAME [--secret-file FILE]\n"
          "  monitor rm NAME\n"
          "A password comes from a file that only its owner may read, or is asked for.\n",
          stderr);
    return EXIT_USAGE;
}

static int exit_code(enum store_err err, const char *what)
{
    if (err == STORE_OK)
        return EXIT_OK;
    fprintf(stderr, "shutport-bridge: %s: %s\n", what, store_err_text(err));
    return err == STORE_E_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_FAILED;
}

/* --- passwords ---------------------------------------------------------------------------------------------------- */

static bool read_line(FILE *in, char *out, size_t cap)
{
    if (!fgets(out, (int)cap, in))
        return false;
    out[strcspn(out, "\r\n")] = '\0';
    return true;
}

/* From the terminal without echo; from standard input when there is no terminal. */
static bool prompt(const char *question, char *out, size_t cap)
{
    struct termios shown, hidden;
    bool is_terminal = tcgetattr(STDIN_FILENO, &shown) == 0;
    if (is_terminal) {
        fprintf(stderr, "%s: ", question);
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    bool is_read = read_line(stdin, out, cap);
    if (is_terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
        fputc('\n', stderr);
    }
    return is_read;
}

static bool prompt_twice(char *out, size_t cap)
{
    char again[PASSWORD_BYTES_MAX + 2] = "";
    if (!prompt("Password", out, cap))
        return false;
    bool is_same = !isatty(STDIN_FILENO) ||
                   (prompt("The same again", again, sizeof(again)) && strcmp(out, again) == 0);
    crypto_wipe(again, sizeof(again));
    if (!is_same)
        fputs("shutport-bridge: the two passwords differ\n", stderr);
    return is_same;
}

static bool read_password(const char *path, char *out, size_t cap)
{
    char *text = NULL;
    if (!path)
        return prompt_twice(out, cap);
    enum rt_err err = file_read_secret(path, PASSWORD_BYTES_MAX + 1, &text);
    if (err != RT_OK) {
        fprintf(stderr, "shutport-bridge: %s: %s\n", path,
                err == RT_E_TRUST ? "others may read it: chmod 600 it first" : rt_err_text(err));
        return false;
    }
    bool fits = strlen(text) < cap;
    if (fits)
        memcpy(out, text, strlen(text) + 1);
    crypto_wipe(text, strlen(text));
    free(text);
    return fits;
}

static bool make_hash(const char *path, struct password_hash *ret_hash)
{
    char password[PASSWORD_BYTES_MAX + 2] = "";
    bool is_made = false;
    if (read_password(path, password, sizeof(password))) {
        is_made = password_hash_make(password, ret_hash) == RT_OK;
        if (!is_made)
            fprintf(stderr, "shutport-bridge: a password has %u to %u bytes\n", PASSWORD_BYTES_MIN,
                    PASSWORD_BYTES_MAX);
    }
    crypto_wipe(password, sizeof(password));
    return is_made;
}

/* --- users -------------------------------------------------------------------------------------------------------- */

static int user_add(struct store *store, const struct words *w)
{
    struct password_hash hash;
    if (!make_hash(w->password_file, &hash))
        return EXIT_FAILED;
    enum store_err err = store_user_add(store, w->names[0], w->is_admin, &hash, NULL);
    crypto_wipe(&hash, sizeof(hash));
    return exit_code(err, w->names[0]);
}

static int user_passwd(struct store *store, const struct words *w)
{
    struct password_hash hash;
    if (!make_hash(w->password_file, &hash))
        return EXIT_FAILED;
    enum store_err err = store_user_set_password(store, w->names[0], &hash);
    crypto_wipe(&hash, sizeof(hash));
    return exit_code(err, w->names[0]);
}

static void print_user(void *user, const struct user_row *row, uint64_t devices_count)
{
    (void)user;
    printf("%s\t%s\t%llu\n", row->name, row->is_admin ? "admin" : "user",
           (unsigned long long)devices_count);
}

static int user_list(struct store *store, const struct words *w)
{
    (void)w;
    return exit_code(store_users_each(store, print_user, NULL), "users");
}

static int user_rm(struct store *store, const struct words *w)
{
    enum store_err err = store_user_remove(store, w->names[0], w->heir);
    if (err == STORE_E_REFUSED) {
        fprintf(
            stderr,
            "shutport-bridge: %s owns devices: deregister them, or name who takes them over with "
            "--devices-to\n",
            w->names[0]);
        return EXIT_FAILED;
    }
    return exit_code(err, w->names[0]);
}

/* --- tokens and grants -------------------------------------------------------------------------------------------- */

static int token_add(struct store *store, const struct words *w)
{
    char token[CRYPTO_TOKEN_TEXT_MAX];
    uint8_t hash[STORE_HASH_BYTES];
    crypto_token(TOKEN_PREFIX_USER, token);
    crypto_sha256(token, strlen(token), hash);
    enum store_err err =
        store_token_add(store, w->names[0], w->token_name ? w->token_name : "", hash, 0, NULL);
    if (err == STORE_OK)
        printf("%s\n", token);
    crypto_wipe(token, sizeof(token));
    return exit_code(err, w->names[0]);
}

static void print_token(void *user, const struct token_row *row)
{
    (void)user;
    printf("%lld\t%s\n", (long long)row->id, row->name);
}

static int token_list(struct store *store, const struct words *w)
{
    return exit_code(store_tokens_each(store, w->names[0], print_token, NULL), w->names[0]);
}

static int token_rm(struct store *store, const struct words *w)
{
    char *end = NULL;
    long long id = strtoll(w->names[1], &end, 10);
    if (*end || id <= 0)
        return usage();
    return exit_code(store_token_remove(store, w->names[0], id), w->names[1]);
}

static int grant_add(struct store *store, const struct words *w)
{
    return exit_code(store_grant_put(store, w->names[0], w->names[1]), w->names[1]);
}

static int grant_rm(struct store *store, const struct words *w)
{
    return exit_code(store_grant_remove(store, w->names[0], w->names[1]), w->names[1]);
}

/* --- identities at the broker ------------------------------------------------------------------------------------- */

/* The file is written before the registry: a full disk leaves the old secret in force and nothing half done. */
static int access_add(struct store *store, const struct words *w, const char *role)
{
    char secret[CRYPTO_TOKEN_TEXT_MAX + 1];
    uint8_t hash[STORE_HASH_BYTES];
    crypto_token("shb_", secret);
    size_t len = strlen(secret);
    crypto_sha256(secret, len, hash);
    secret[len] = '\n';
    enum store_err err = STORE_E_UNAVAILABLE;
    if (w->secret_file &&
        file_write_atomic(w->secret_file, secret, len + 1, S_IRUSR | S_IWUSR) != RT_OK)
        perror(w->secret_file);
    else
        err = store_access_put(store, w->names[0], role, hash);
    if (err == STORE_OK && !w->secret_file)
        printf("%.*s\n", (int)len, secret);
    crypto_wipe(secret, sizeof(secret));
    return exit_code(err, w->names[0]);
}

static int bridge_add(struct store *store, const struct words *w)
{
    return access_add(store, w, "bridge");
}

static int monitor_add(struct store *store, const struct words *w)
{
    return access_add(store, w, "monitor");
}

static int access_rm(struct store *store, const struct words *w)
{
    return exit_code(store_access_revoke(store, w->names[0]), w->names[0]);
}

/* --- the table of commands ---------------------------------------------------------------------------------------- */

static const struct command {
    const char *noun, *verb;
    size_t name_count;
    int (*run)(struct store *store, const struct words *w);
} commands[] = {
    {"user", "add", 1, user_add},    {"user", "passwd", 1, user_passwd},
    {"user", "list", 0, user_list},  {"user", "rm", 1, user_rm},
    {"token", "add", 1, token_add},  {"token", "list", 1, token_list},
    {"token", "rm", 2, token_rm},    {"grant", "add", 2, grant_add},
    {"grant", "rm", 2, grant_rm},    {"bridge", "add", 1, bridge_add},
    {"bridge", "rm", 1, access_rm},  {"monitor", "add", 1, monitor_add},
    {"monitor", "rm", 1, access_rm},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

bool users_command_is(const char *noun)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].noun, noun) == 0)
            return true;
    return false;
}

static const char **option_of(struct words *w, const char *word)
{
    if (strcmp(word, "--password-file") == 0)
        return &w->password_file;
    if (strcmp(word, "--secret-file") == 0)
        return &w->secret_file;
    if (strcmp(word, "--name") == 0)
        return &w->token_name;
    return strcmp(word, "--devices-to") == 0 ? &w->heir : NULL;
}

static bool parse_words(int argc, char *const argv[], struct words *w)
{
    for (int i = 0; i < argc; i++) {
        const char **option = option_of(w, argv[i]);
        if (strcmp(argv[i], "--admin") == 0) {
            w->is_admin = true;
        } else if (option && i + 1 < argc) {
            *option = argv[++i];
        } else if (argv[i][0] != '-' && w->name_count < 2) {
            w->names[w->name_count++] = argv[i];
        } else {
            return false;
        }
    }
    return true;
}

int users_command(int argc, char *const argv[], struct store *store)
{
    struct words w = {.name_count = 0};
    if (argc < 2 || !parse_words(argc - 2, argv + 2, &w))
        return usage();
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].noun, argv[0]) == 0 && strcmp(commands[i].verb, argv[1]) == 0 &&
            commands[i].name_count == w.name_count)
            return commands[i].run(store, &w);
    return usage();
}
