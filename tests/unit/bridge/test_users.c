/* The subcommands, as one types them: names are the claims. */
#include "tests/unit/bridge/scratch.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "bridge/password.h"
#include "bridge/users.h"
#include "runtime/crypto.h"

static struct scratch t;
static char password_file[128], secret_file[128];

static void write_password(const char *text, mode_t mode)
{
    int fd = open(password_file, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static int setup(void **state)
{
    (void)state;
    scratch_open(&t);
    snprintf(password_file, sizeof(password_file), "%s/password", t.dir);
    snprintf(secret_file, sizeof(secret_file), "%s/secret", t.dir);
    write_password("correct horse\n", 0600);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(password_file);
    unlink(secret_file);
    scratch_close(&t);
    return 0;
}

/* Runs a command and keeps what it prints on standard output. */
static char printed[4096];
static int run(const char *line)
{
    char copy[512], *words[16] = {0}, *rest = NULL;
    int count = 0, saved = dup(STDOUT_FILENO);
    FILE *out = tmpfile();
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    fflush(stdout);
    dup2(fileno(out), STDOUT_FILENO);
    int status = users_command(count, words, t.store);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(out);
    size_t len = fread(printed, 1, sizeof(printed) - 1, out);
    printed[len] = '\0';
    fclose(out);
    return status;
}

static int add_user(const char *name)
{
    char line[256];
    snprintf(line, sizeof(line), "user add %s --password-file %s", name, password_file);
    return run(line);
}

static void a_user_is_made_with_the_files_password(void **state)
{
    (void)state;
    struct user_row user;
    struct password_hash hash;
    assert_int_equal(add_user("alice --admin"), 0);
    assert_int_equal(store_user_find(t.store, "alice", &user, &hash), STORE_OK);
    assert_true(user.is_admin);
    assert_true(password_matches("correct horse", &hash));
    assert_false(password_matches("correct horse\n", &hash));
    assert_int_equal(add_user("alice"), 1); /* taken */
    assert_int_equal(run("user list"), 0);
    assert_string_equal(printed, "alice\tadmin\t0\n");
}

static void a_password_that_others_can_read_or_too_short_is_refused(void **state)
{
    (void)state;
    write_password("correct horse\n", 0644);
    assert_int_equal(add_user("alice"), 1);
    write_password("short\n", 0600);
    assert_int_equal(add_user("alice"), 1);
    assert_int_equal(run("user list"), 0);
    assert_string_equal(printed, "");
}

static void a_password_is_replaced(void **state)
{
    (void)state;
    struct user_row user;
    struct password_hash hash;
    char line[256];
    assert_int_equal(add_user("alice"), 0);
    write_password("another horse\n", 0600);
    snprintf(line, sizeof(line), "user passwd alice --password-file %s", password_file);
    assert_int_equal(run(line), 0);
    assert_int_equal(store_user_find(t.store, "alice", &user, &hash), STORE_OK);
    assert_true(password_matches("another horse", &hash));
    snprintf(line, sizeof(line), "user passwd bob --password-file %s", password_file);
    assert_int_equal(run(line), 3);
}

/* Does the registry's file hold this text? */
static bool a_file_holds(const char *text)
{
    FILE *in = fopen(t.path, "rb");
    char *data = calloc(1, 1u << 20);
    assert_non_null(in);
    assert_non_null(data);
    size_t len = fread(data, 1, 1u << 20, in);
    bool holds = memmem(data, len, text, strlen(text)) != NULL;
    assert_non_null(memmem(data, len, "alice", 5)); /* the right file */
    fclose(in);
    free(data);
    return holds;
}

static void a_token_is_shown_once_and_stored_as_a_hash(void **state)
{
    (void)state;
    char token[128];
    assert_int_equal(add_user("alice"), 0);
    assert_int_equal(run("token add alice --name ci"), 0);
    assert_true(strncmp(printed, "shp_", 4) == 0);
    assert_int_equal(strlen(printed), 48);
    memcpy(token, printed, 47);
    token[47] = '\0';
    assert_int_equal(run("token list alice"), 0);
    assert_string_equal(printed, "1\tci\n");
    store_close(t.store); /* everything is in the files now */
    assert_false(a_file_holds(token));
    assert_int_equal(store_open(t.path, &t.store), STORE_OK);
    assert_int_equal(run("token rm alice 1"), 0);
    assert_int_equal(run("token rm alice 1"), 3);
    assert_int_equal(run("token add nobody"), 3);
}

static void a_bridges_secret_goes_to_a_file_of_its_own(void **state)
{
    (void)state;
    char line[256], secret[128] = "";
    struct stat st;
    snprintf(line, sizeof(line), "bridge add b1 --secret-file %s", secret_file);
    assert_int_equal(run(line), 0);
    assert_string_equal(printed, "");
    assert_int_equal(stat(secret_file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    FILE *in = fopen(secret_file, "r");
    assert_non_null(fgets(secret, sizeof(secret), in));
    fclose(in);
    assert_true(strncmp(secret, "shb_", 4) == 0);
    assert_int_equal(run("monitor add b1"), 1); /* a bridge's name */
    assert_int_equal(run("monitor add m1"), 0);
    assert_true(strncmp(printed, "shb_", 4) == 0);
    assert_int_equal(run("monitor rm m1"), 0);
    assert_int_equal(run("bridge rm nobody"), 3);
    assert_int_equal(run("bridge add b2 --secret-file /nonexistent/x"), 1);
    assert_int_equal(run("bridge rm b2"), 3); /* nothing half done */
}

static void what_is_no_command_is_a_usage_error(void **state)
{
    (void)state;
    static const char *const bad[] = {"user",          "user add",           "user frobnicate x",
                                      "user add a b",  "token rm a b",       "user list x",
                                      "user add -x y", "token add a --name", "grant add a"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(run(bad[i]), 2);
    assert_true(users_command_is("user"));
    assert_false(users_command_is("users"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_user_is_made_with_the_files_password),
        T(a_password_that_others_can_read_or_too_short_is_refused),
        T(a_password_is_replaced),
        T(a_token_is_shown_once_and_stored_as_a_hash),
        T(a_bridges_secret_goes_to_a_file_of_its_own),
        T(what_is_no_command_is_a_usage_error),
    };
    return cmocka_run_group_tests_name("users", tests, NULL, NULL);
}
